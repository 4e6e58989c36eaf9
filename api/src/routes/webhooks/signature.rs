//! `X-Hub-Signature-256`: HMAC-SHA256 of the body as it was sent.

use aws_lc_rs::hmac;
use domain::{InstallationId, Secret};
use runtime::config::WebhookSecret;

/// The installations whose secret signed the body; none: nobody's did. Every secret is tried, whichever fits.
pub(super) fn signed_for(secrets: &[WebhookSecret], header: &str, body: &[u8]) -> Vec<InstallationId> {
    let fits = secrets.iter().filter(|one| holds(&one.secret, header, body));
    fits.flat_map(|one| one.installations.clone()).collect()
}

/// Whether `header` is what the holder of `secret` writes over `body`. Compares in constant time.
fn holds(secret: &Secret, header: &str, body: &[u8]) -> bool {
    let Some(tag) = header.strip_prefix("sha256=").and_then(read) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    hmac::verify(&key, body, &tag).is_ok()
}

/// 32 bytes in hexadecimal.
fn read(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes().as_chunks::<2>().0;
    let mut tag = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in tag.iter_mut().zip(digits) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn published(header: &str, body: &[u8]) -> bool {
        holds(&Secret::new("It's a Secret to Everybody"), header, body)
    }

    #[test]
    fn the_published_vector_holds() {
        assert!(published(&format!("sha256={TAG}"), b"Hello, World!"));
        assert!(published(&format!("sha256={}", TAG.to_uppercase()), b"Hello, World!"));
    }

    #[test]
    fn anything_else_does_not() {
        let header = format!("sha256={TAG}");
        assert!(!published(&header, b"Hello, World"));
        assert!(!holds(&Secret::new("other"), &header, b"Hello, World!"));
        for bad in ["", "sha256=", TAG, &header[..70], &header.replace('7', "8"), &header.replace('7', "g")] {
            assert!(!published(bad, b"Hello, World!"), "{bad}");
        }
        assert!(!published(&format!("sha1={TAG}"), b"Hello, World!"));
        assert!(!published(&format!("sha256={}", "é".repeat(32)), b"Hello, World!"));
    }
}
