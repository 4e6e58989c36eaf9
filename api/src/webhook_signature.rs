//! Signature of webhooks (`X-Hub-Signature-256`): HMAC-SHA256 of the body as it was sent.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use domain::InstallationId;
use runtime::config::WebhookSecret;

/// Check of one body under every secret, computed while the body arrives.
pub(crate) struct SignatureCheck<'s> {
    /// The signature in the header; `None` if it is missing or malformed, and then nothing is computed.
    claimed: Option<[u8; 32]>,
    /// One computation for each distinct secret; several installations may share one.
    contexts: Vec<(hmac::Context, Vec<&'s WebhookSecret>)>,
}

impl<'s> SignatureCheck<'s> {
    pub(crate) fn new(secrets: &'s [WebhookSecret], header: &str) -> Self {
        let claimed = header.strip_prefix("sha256=").and_then(parse_digest);
        let mut distinct: Vec<Vec<&WebhookSecret>> = Vec::new();
        for secret in secrets.iter().filter(|_| claimed.is_some()) {
            let same = distinct.iter_mut().find(|same| same[0].secret.expose() == secret.secret.expose());
            match same {
                Some(same) => same.push(secret),
                None => distinct.push(vec![secret]),
            }
        }
        let context = |same: &Vec<&WebhookSecret>| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, same[0].secret.expose().as_bytes());
            hmac::Context::with_key(&key)
        };
        Self { claimed, contexts: distinct.into_iter().map(|same| (context(&same), same)).collect() }
    }

    /// Returns the number of computations per byte.
    pub(crate) fn cost(&self) -> usize {
        self.contexts.len()
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        for (context, _) in &mut self.contexts {
            context.update(data);
        }
    }

    /// Returns the installations whose secret signed the body, empty if none did. Compares in constant time.
    pub(crate) fn finish(self) -> Vec<InstallationId> {
        let Some(claimed) = self.claimed else { return Vec::new() };
        let fits =
            |context: hmac::Context| verify_slices_are_equal(context.sign().as_ref(), &claimed).is_ok();
        let signers = self.contexts.into_iter().filter_map(|(context, same)| fits(context).then_some(same));
        signers.flatten().flat_map(|one| one.installations.clone()).collect()
    }
}

/// Parses 32 bytes in hexadecimal.
fn parse_digest(hex: &str) -> Option<[u8; 32]> {
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
    use domain::Secret;

    use super::*;

    const TAG: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn secret(text: &str, installation: &str) -> WebhookSecret {
        WebhookSecret { secret: Secret::new(text), installations: vec![installation.parse().unwrap()] }
    }

    fn verified_installations(secrets: &[WebhookSecret], header: &str, parts: &[&[u8]]) -> Vec<String> {
        let mut check = SignatureCheck::new(secrets, header);
        for part in parts {
            check.update(part);
        }
        check.finish().iter().map(ToString::to_string).collect()
    }

    fn published(header: &str, body: &[u8]) -> bool {
        !verified_installations(&[secret("It's a Secret to Everybody", "a")], header, &[body]).is_empty()
    }

    #[test]
    fn published_vector_holds_in_one_piece_and_in_several() {
        assert!(published(&format!("sha256={TAG}"), b"Hello, World!"));
        assert!(published(&format!("sha256={}", TAG.to_uppercase()), b"Hello, World!"));
        let ours = [secret("It's a Secret to Everybody", "a")];
        assert_eq!(
            verified_installations(&ours, &format!("sha256={TAG}"), &[b"Hello", b"", b", World!"]),
            ["a"]
        );
    }

    #[test]
    fn every_installation_of_the_fitting_secret_is_named() {
        let ours = ["other", "It's a Secret to Everybody", "It's a Secret to Everybody"];
        let ours: Vec<_> = ours.iter().zip(["a", "b", "c"]).map(|(text, id)| secret(text, id)).collect();
        assert_eq!(verified_installations(&ours, &format!("sha256={TAG}"), &[b"Hello, World!"]), ["b", "c"]);
    }

    #[test]
    fn equal_secrets_are_computed_once_and_bad_headers_never() {
        let many: Vec<_> = (0..64).map(|_| secret("same", "a")).collect();
        assert_eq!(SignatureCheck::new(&many, &format!("sha256={TAG}")).cost(), 1);
        assert_eq!(SignatureCheck::new(&many, "sha256=x").cost(), 0);
    }

    #[test]
    fn anything_else_does_not_hold() {
        let header = format!("sha256={TAG}");
        assert!(!published(&header, b"Hello, World"));
        assert!(verified_installations(&[secret("other", "a")], &header, &[b"Hello, World!"]).is_empty());
        for bad in ["", "sha256=", TAG, &header[..70], &header.replace('7', "8"), &header.replace('7', "g")] {
            assert!(!published(bad, b"Hello, World!"), "{bad}");
        }
        assert!(!published(&format!("sha1={TAG}"), b"Hello, World!"));
        assert!(!published(&format!("sha256={}", "é".repeat(32)), b"Hello, World!"));
    }
}
