//! Published keys of an issuer (JWKS, RFC 7517), reduced to those that can verify a signature.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD},
    },
};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::{
    error::{FetchError, OidcError},
    token::{KID_LIMIT, Parts},
};

/// Maximum number of keys in a set.
const KEY_LIMIT: usize = 100;
/// Maximum length of a `kid` in a log line, in characters.
const MAX_SHOWN_KID: usize = 100;

/// base64url with optional padding: padded key material is unambiguous, and some providers write it.
const OPTIONAL_PADDING: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Keys of one issuer at one time.
#[derive(Default)]
pub(super) struct KeySet(Vec<Key>);

/// One public key and its permitted uses.
#[derive(Clone)]
pub(super) struct Key {
    kid: Option<String>,
    kind: Kind,
    algorithm: Option<String>,
    material: DecodingKey,
    /// Numbers of the public key without leading zeros. Keys with equal numbers are one key.
    numbers: Vec<Vec<u8>>,
}

/// Kind of key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Result of a key lookup.
pub(super) enum Found {
    /// The one key that matches.
    One(Box<Key>),
    /// No such key; a refreshed set may have it.
    None,
    /// The key is not usable with this algorithm, or several match. A refresh would not help.
    Unfit,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Parses a set. Keys that cannot verify signatures are left out and logged with their `kid`.
    pub(super) fn parse(json: &[u8]) -> Result<Self, FetchError> {
        let raw: RawSet = serde_json::from_slice(json).map_err(|_| FetchError::Malformed("the key set"))?;
        if raw.keys.len() > KEY_LIMIT {
            return Err(FetchError::TooLarge);
        }
        let mut keys: Vec<Key> = Vec::new();
        for value in raw.keys {
            let kid = shown_kid(&value);
            match serde_json::from_value(value).map_err(|_| "it is malformed").and_then(Key::new) {
                Ok(key) if keys.contains(&key) => {
                    tracing::debug!(kid, "an issuer publishes a key twice");
                }
                Ok(key) => keys.push(key),
                Err(reason) => {
                    tracing::info!(kid, reason, "unusable key of an issuer left out");
                }
            }
        }
        Ok(Self(keys))
    }

    /// Returns the key for a token's `kid` and algorithm. Without a `kid` exactly one key must match. If two keys of
    /// different material match, both are refused: the token must not choose between them.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Found {
        let named: Vec<&Key> =
            self.0.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid).collect();
        let mut fitting = named.iter().copied().filter(|key| key.fits(algorithm));
        match fitting.next() {
            Some(first) if fitting.all(|other| other.has_material_of(first)) => {
                Found::One(Box::new(first.clone()))
            }
            None if kid.is_none() || named.is_empty() => Found::None,
            _ => Found::Unfit,
        }
    }
}

/// Returns a `kid` as log lines show it: shortened, `none` if absent.
fn shown_kid(key: &Value) -> String {
    let kid = key.get("kid").and_then(Value::as_str).unwrap_or("none");
    kid.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_KID).collect()
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.algorithm == other.algorithm && self.has_material_of(other)
    }
}

impl Key {
    /// Builds a key from its published form.
    ///
    /// # Errors
    /// Returns the reason the key is unusable.
    fn new(raw: RawKey) -> Result<Self, &'static str> {
        let signs = raw.usage.as_deref().is_none_or(|usage| usage == "sig")
            && raw.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !signs {
            return Err("it is not for signatures");
        }
        if raw.kid.as_ref().is_some_and(|kid| kid.len() > KID_LIMIT) {
            return Err("its kid is too long");
        }
        let number = |text: &Option<String>| number(text.as_deref());
        let (kind, numbers) = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", None) => (Kind::Rsa, vec![number(&raw.n)?, number(&raw.e)?]),
            ("EC", Some("P-256")) => (Kind::P256, vec![number(&raw.x)?, number(&raw.y)?]),
            ("EC", Some("P-384")) => (Kind::P384, vec![number(&raw.x)?, number(&raw.y)?]),
            // The material is not a number: leading zeros are significant.
            ("OKP", Some("Ed25519")) => (Kind::Ed25519, vec![bytes(raw.x.as_deref())?]),
            _ => return Err("its type or curve is not used here"),
        };
        let material = material(kind, &numbers)?;
        Ok(Self { kid: raw.kid, kind, algorithm: raw.alg, material, numbers })
    }

    fn has_material_of(&self, other: &Self) -> bool {
        self.kind == other.kind && self.numbers == other.numbers
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let (kind, name) = match algorithm {
            Algorithm::RS256 => (Kind::Rsa, "RS256"),
            Algorithm::RS384 => (Kind::Rsa, "RS384"),
            Algorithm::RS512 => (Kind::Rsa, "RS512"),
            Algorithm::PS256 => (Kind::Rsa, "PS256"),
            Algorithm::PS384 => (Kind::Rsa, "PS384"),
            Algorithm::PS512 => (Kind::Rsa, "PS512"),
            Algorithm::ES256 => (Kind::P256, "ES256"),
            Algorithm::ES384 => (Kind::P384, "ES384"),
            Algorithm::EdDSA => (Kind::Ed25519, "EdDSA"),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return false,
        };
        let own = self.algorithm.as_deref();
        // RFC 9864 names the curve; RFC 8037 named the family.
        let same = own.is_none_or(|own| own == name || (own == "Ed25519" && kind == Kind::Ed25519));
        kind == self.kind && same
    }

    /// Verifies the signature. RSA keys outside 2048 to 8192 bits are refused.
    pub(super) fn verify(&self, parts: &Parts<'_>) -> Result<(), OidcError> {
        let holds = crypto::verify(parts.signature, parts.signed.as_bytes(), &self.material, parts.algorithm);
        match holds {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(OidcError::BadSignature),
        }
    }
}

fn material(kind: Kind, numbers: &[Vec<u8>]) -> Result<DecodingKey, &'static str> {
    let wrong = "its numbers have the wrong length";
    match (kind, numbers) {
        (Kind::Rsa, [n, e]) if !n.is_empty() && !e.is_empty() => {
            Ok(DecodingKey::from_rsa_raw_components(n, e))
        }
        (Kind::P256, [x, y]) => point(32, x, y).ok_or(wrong),
        (Kind::P384, [x, y]) => point(48, x, y).ok_or(wrong),
        (Kind::Ed25519, [x]) if x.len() == 32 => {
            DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(x)).map_err(|_| wrong)
        }
        _ => Err(wrong),
    }
}

/// Builds a key from coordinates, padded to the curve's length (RFC 7518, 6.2.1.2): some providers drop leading zeros.
fn point(length: usize, x: &[u8], y: &[u8]) -> Option<DecodingKey> {
    let coordinate = |number: &[u8]| {
        let missing = length.checked_sub(number.len())?;
        Some(URL_SAFE_NO_PAD.encode([vec![0; missing].as_slice(), number].concat()))
    };
    let plausible = |number: &[u8]| number.len() + 4 > length;
    if !plausible(x) || !plausible(y) {
        return None;
    }
    DecodingKey::from_ec_components(&coordinate(x)?, &coordinate(y)?).ok()
}

/// Decodes a big-endian number without its leading zeros.
fn number(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    let bytes = bytes(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

fn bytes(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("one of its numbers is missing")?;
    // Both base64 alphabets are unambiguous here.
    OPTIONAL_PADDING
        .decode(text.replace('+', "-").replace('/', "_"))
        .map_err(|_| "one of its numbers is not base64url")
}
