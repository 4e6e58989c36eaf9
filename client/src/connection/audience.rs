//! Audiences of a token. They are read without a check of the signature, which is the service's work.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Secret;
use serde_json::Value;
use zeroize::Zeroizing;

/// Returns the audiences that a JWT names, or `None` for a token that is no JWT.
pub(crate) fn audiences(token: &Secret) -> Option<Vec<String>> {
    let mut parts = token.expose().split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(match &claims["aud"] {
        Value::Array(several) => several.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_is_one_text_or_several() {
        let of = |claims: &str| {
            audiences(&Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))).unwrap()
        };
        assert_eq!(of(r#"{"aud":"rts"}"#), ["rts"]);
        assert_eq!(of(r#"{"aud":["rts","other",7]}"#), ["rts", "other"]);
        assert!(of(r#"{"sub":"ada"}"#).is_empty());
        for opaque in ["", "opaque", "a.b", "a.%%.c", "a.bm8.c"] {
            assert_eq!(audiences(&Secret::new(opaque)), None, "{opaque}");
        }
    }
}
