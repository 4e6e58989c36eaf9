//! An issuer's published keys (JWKS, RFC 7517), reduced to those that can check a signature.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::{
    OidcError,
    source::FetchError,
    token::{KID_LIMIT, Parts},
};

/// The most keys a set may have.
const KEY_LIMIT: usize = 100;

/// The keys of one issuer at one time.
#[derive(Default)]
pub(super) struct KeySet(Vec<Key>);

/// One public key and what it may be used for.
#[derive(Clone)]
pub(super) struct Key {
    kid: Option<String>,
    kind: Kind,
    algorithm: Option<String>,
    material: DecodingKey,
}

/// What the material is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// What a set has for a token.
pub(super) enum Found {
    /// The one key to try.
    One(Box<Key>),
    /// No such key: perhaps newer keys have it.
    None,
    /// The key is known but not for this algorithm, or there are several: newer keys are no use.
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
    /// Keys of kinds we do not use are left out; they are the issuer's business.
    pub(super) fn parse(json: &[u8]) -> Result<Self, FetchError> {
        let raw: RawSet = serde_json::from_slice(json).map_err(|_| FetchError::Malformed("the key set"))?;
        if raw.keys.len() > KEY_LIMIT {
            return Err(FetchError::TooLarge);
        }
        let keys = raw.keys.into_iter().filter_map(|key| Key::new(serde_json::from_value(key).ok()?));
        Ok(Self(keys.collect()))
    }

    /// The key for a token's `kid` and algorithm. Without a `kid` exactly one key must fit. Two keys that both fit
    /// are both refused: which of them was meant is not for the token to choose.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Found {
        let named: Vec<&Key> =
            self.0.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid).collect();
        let fitting: Vec<&Key> = named.iter().copied().filter(|key| key.fits(algorithm)).collect();
        match fitting.as_slice() {
            [one] => Found::One(Box::new((*one).clone())),
            [] if kid.is_none() || named.is_empty() => Found::None,
            _ => Found::Unfit,
        }
    }
}

impl Key {
    fn new(raw: RawKey) -> Option<Self> {
        let signs = raw.usage.as_deref().is_none_or(|usage| usage == "sig")
            && raw.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !signs || raw.kid.as_ref().is_some_and(|kid| kid.len() > KID_LIMIT) {
            return None;
        }
        let (kind, key) = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", None) => (Kind::Rsa, DecodingKey::from_rsa_components(&raw.n?, &raw.e?)),
            ("EC", Some("P-256")) => (Kind::P256, point(32, &raw.x?, &raw.y?)?),
            ("EC", Some("P-384")) => (Kind::P384, point(48, &raw.x?, &raw.y?)?),
            ("OKP", Some("Ed25519")) => {
                let x = raw.x.filter(|x| has_bytes(32, x))?;
                (Kind::Ed25519, DecodingKey::from_ed_components(&x))
            }
            _ => return None,
        };
        Some(Self { kid: raw.kid, kind, algorithm: raw.alg, material: key.ok()? })
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
        // RFC 9864 names the curve where RFC 8037 named the family.
        let same = own.is_none_or(|own| own == name || (own == "Ed25519" && kind == Kind::Ed25519));
        kind == self.kind && same
    }

    /// Checks the signature. RSA keys outside 2048 to 8192 bits never fit.
    pub(super) fn verify(&self, parts: &Parts<'_>) -> Result<(), OidcError> {
        let holds = crypto::verify(parts.signature, parts.signed.as_bytes(), &self.material, parts.algorithm);
        match holds {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(OidcError::BadSignature),
        }
    }
}

type Decoded = jsonwebtoken::errors::Result<DecodingKey>;

fn point(bytes: usize, x: &str, y: &str) -> Option<Decoded> {
    (has_bytes(bytes, x) && has_bytes(bytes, y)).then(|| DecodingKey::from_ec_components(x, y))
}

fn has_bytes(bytes: usize, text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|decoded| decoded.len() == bytes)
}
