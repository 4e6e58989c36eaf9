//! Keys that sign the webhooks this service sends, as the Standard Webhooks specification defines them.

use std::{fmt, str::FromStr};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Mark before the base64 of a key.
const PREFIX: &str = "whsec_";

/// A key of 24 to 64 bytes for HMAC-SHA256. It prints as `***`.
#[derive(Clone)]
pub struct WebhookKey(hmac::Key);

/// A text that is no key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a webhook key is `whsec_` and the base64 of 24 to 64 bytes")]
pub struct BadWebhookKey;

impl FromStr for WebhookKey {
    type Err = BadWebhookKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(PREFIX).ok_or(BadWebhookKey)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| BadWebhookKey)?);
        let fits = (24..=64).contains(&bytes.len());
        fits.then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))).ok_or(BadWebhookKey)
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Returns the value of the header `webhook-signature`: one signature for each key, so that a receiver may check with the
/// old key or the new one while keys are rotated. `timestamp` is in seconds since 1970.
pub fn sign_webhook(keys: &[WebhookKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    let sign = |key: &WebhookKey| {
        let mut context = hmac::Context::with_key(&key.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    };
    keys.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn sign(keys: &[WebhookKey]) -> String {
        let body = br#"{"event_type":"ping","data":{"success":true}}"#;
        sign_webhook(keys, "msg_loFOjxBNrRLzqYUf", 1_731_705_121, body)
    }

    #[test]
    fn signature_of_the_specification_is_computed() {
        // The key of this example is shorter than the specification asks for.
        let bytes = STANDARD.decode("plJ3nmyCDGBKInavdOK15jsl").unwrap();
        let key = WebhookKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        assert_eq!(sign(&[key]), "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=");
    }

    #[test]
    fn every_key_gives_one_signature() {
        let other: WebhookKey = format!("whsec_{}", STANDARD.encode([7; 64])).parse().unwrap();
        let key: WebhookKey = KEY.parse().unwrap();
        let both = sign(&[key.clone(), other.clone()]);
        assert_eq!(both, format!("{} {}", sign(&[key]), sign(&[other])));
    }

    #[test]
    fn only_keys_of_24_to_64_bytes_are_accepted() {
        for bytes in [23, 65] {
            assert!(format!("whsec_{}", STANDARD.encode(vec![7; bytes])).parse::<WebhookKey>().is_err());
        }
        for bad in
            ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!"]
        {
            assert!(bad.parse::<WebhookKey>().is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}", KEY.parse::<WebhookKey>().unwrap()), "***");
    }
}
