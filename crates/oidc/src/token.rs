//! Parser for compact JWS tokens (RFC 7515), used before anything in them is trusted.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::OidcError;

/// Maximum size of a token, in bytes.
const TOKEN_LIMIT: usize = 16 * 1024;
/// Maximum size of the header, in base64 characters. Certificate chains there are ignored.
const HEADER_LIMIT: usize = 8 * 1024;
/// Maximum size of the signature, in base64 characters: RSA with 8192 bits.
const SIGNATURE_LIMIT: usize = 1366;
/// Maximum length of a `kid`, in bytes.
pub(super) const KID_LIMIT: usize = 512;

/// The parts of a token.
pub(super) struct Parts<'t> {
    /// Algorithm, from the allow-list.
    pub(super) algorithm: Algorithm,
    /// Key id, only ever compared.
    pub(super) kid: Option<String>,
    /// Signed text: the first two parts as sent.
    pub(super) signed: &'t str,
    /// Signature, in base64.
    pub(super) signature: &'t str,
    /// JSON of the claims.
    pub(super) payload: Vec<u8>,
    /// Kind of the token, by its header.
    pub(super) kind: Kind,
}

/// Kind of a token, from its header (RFC 9068) or from claims that known providers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A token for resource servers.
    Access,
    /// A token for the client that signed a user in.
    Id,
    /// Neither header nor claims state the kind.
    Unstated,
}

impl<'t> Parts<'t> {
    pub(super) fn split(token: &'t str) -> Result<Self, OidcError> {
        if token.len() > TOKEN_LIMIT {
            return Err(OidcError::TooLarge);
        }
        let (signed, signature) =
            token.rsplit_once('.').ok_or(OidcError::Invalid("it has fewer than three parts"))?;
        let (header, payload) =
            signed.split_once('.').ok_or(OidcError::Invalid("it has fewer than three parts"))?;
        if payload.contains('.') {
            return Err(OidcError::Invalid("it has more than three parts"));
        }
        if header.len() > HEADER_LIMIT || signature.len() > SIGNATURE_LIMIT {
            return Err(OidcError::Invalid("its header or signature is too long"));
        }
        let header: Map<String, Value> = serde_json::from_slice(&decode(header)?)
            .map_err(|_| OidcError::Invalid("its header is not a JSON object"))?;
        let algorithm = algorithm(&header)?;
        let payload = decode(payload)?;
        Ok(Self { algorithm, kid: kid(&header)?, signed, signature, payload, kind: kind(&header) })
    }
}

/// Decodes base64url strictly: no padding, no other alphabet, no unused bits.
fn decode(text: &str) -> Result<Vec<u8>, OidcError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| OidcError::Invalid("it is not base64url"))
}

/// Returns the algorithm if it is on the allow-list. ES512 is missing because jsonwebtoken 10 does not support it.
fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, OidcError> {
    if header.contains_key("crit") {
        return Err(OidcError::Invalid("it requires an extension (`crit`)"));
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

/// Returns whether the header's `typ` names an access token or no particular kind. Logout and event tokens of the same
/// issuer have the same keys but do not authenticate a caller (RFC 8725, 3.11).
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
        Some(_) => Err(OidcError::Invalid("its `kid` is not a short string")),
    }
}
