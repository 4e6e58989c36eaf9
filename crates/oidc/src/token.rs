//! A compact JWS (RFC 7515) taken apart, before anything in it is believed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::OidcError;

/// The largest token looked at, in bytes.
const TOKEN_LIMIT: usize = 16 * 1024;
/// The largest header, in base64 characters; certificate chains sit there that we do not read.
const HEADER_LIMIT: usize = 8 * 1024;
/// The longest signature, in base64 characters: RSA with 8192 bits.
const SIGNATURE_LIMIT: usize = 1366;
/// The longest `kid`, in bytes.
pub(super) const KID_LIMIT: usize = 512;

/// A token in pieces.
pub(super) struct Parts<'t> {
    /// From the allow-list.
    pub(super) algorithm: Algorithm,
    /// Only ever compared.
    pub(super) kid: Option<String>,
    /// What was signed: the first two parts as sent.
    pub(super) signed: &'t str,
    /// The signature, in base64.
    pub(super) signature: &'t str,
    /// The claims' JSON.
    pub(super) payload: Vec<u8>,
    /// What its header says it is.
    pub(super) kind: Kind,
}

/// What kind of token it is, by its header (RFC 9068) or by claims providers are known to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// For resource servers.
    Access,
    /// For the client that signed somebody in.
    Id,
    /// Nothing says so.
    Unstated,
}

impl<'t> Parts<'t> {
    pub(super) fn split(token: &'t str) -> Result<Self, OidcError> {
        if token.len() > TOKEN_LIMIT {
            return Err(OidcError::TooLarge);
        }
        let (signed, signature) =
            token.rsplit_once('.').ok_or(OidcError::Invalid("it has no three parts"))?;
        let (header, payload) = signed.split_once('.').ok_or(OidcError::Invalid("it has no three parts"))?;
        if payload.contains('.') {
            return Err(OidcError::Invalid("it has more than three parts"));
        }
        if header.len() > HEADER_LIMIT || signature.len() > SIGNATURE_LIMIT {
            return Err(OidcError::Invalid("its header or signature is too long"));
        }
        let header: Map<String, Value> = serde_json::from_slice(&decode(header)?)
            .map_err(|_| OidcError::Invalid("its header is no JSON object"))?;
        let algorithm = algorithm(&header)?;
        let payload = decode(payload)?;
        Ok(Self { algorithm, kid: kid(&header)?, signed, signature, payload, kind: kind(&header) })
    }
}

/// Strict: no padding, no other alphabet, no bits left over.
fn decode(text: &str) -> Result<Vec<u8>, OidcError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| OidcError::Invalid("it is no base64url"))
}

/// The allow-list. ES512 is missing because jsonwebtoken 10 does not offer it.
fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, OidcError> {
    if header.contains_key("crit") {
        return Err(OidcError::Invalid("it demands an extension (`crit`)"));
    }
    if header.get("typ").is_some_and(|kind| !is_access_token(kind)) {
        return Err(OidcError::Invalid("it is a token of another kind (`typ`)"));
    }
    match header.get("alg").and_then(Value::as_str) {
        Some("RS256") => Ok(Algorithm::RS256),
        Some("RS384") => Ok(Algorithm::RS384),
        Some("RS512") => Ok(Algorithm::RS512),
        Some("PS256") => Ok(Algorithm::PS256),
        Some("PS384") => Ok(Algorithm::PS384),
        Some("PS512") => Ok(Algorithm::PS512),
        Some("ES256") => Ok(Algorithm::ES256),
        Some("ES384") => Ok(Algorithm::ES384),
        Some("EdDSA") => Ok(Algorithm::EdDSA),
        Some(_) => Err(OidcError::UnsupportedAlgorithm),
        None => Err(OidcError::Invalid("its header has no `alg`")),
    }
}

fn kind(header: &Map<String, Value>) -> Kind {
    let kind = header.get("typ").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    match kind.strip_prefix("application/").unwrap_or(&kind) {
        "at+jwt" => Kind::Access,
        "id+jwt" => Kind::Id,
        _ => Kind::Unstated,
    }
}

/// RFC 8725, 3.11: a logout or event token of the same issuer is signed with the same keys, but is no proof of
/// who calls. Types that say nothing of the kind pass.
fn is_access_token(kind: &Value) -> bool {
    let Some(kind) = kind.as_str() else { return false };
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    !kind.ends_with("+jwt") || matches!(kind, "at+jwt" | "id+jwt")
}

fn kid(header: &Map<String, Value>) -> Result<Option<String>, OidcError> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.len() <= KID_LIMIT => Ok(Some(kid.clone())),
        Some(_) => Err(OidcError::Invalid("its `kid` is no short string")),
    }
}
