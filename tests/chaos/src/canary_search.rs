//! Search patterns for the canary in its encoded forms.

/// Every text that reveals the canary: plain, inside up to three layers of base64, and each of these in hex.
#[derive(Clone, Debug)]
pub(crate) struct CanarySearch(Vec<String>);

impl CanarySearch {
    pub(crate) fn of(canary: &str) -> Self {
        let plain = github_twin::needles(canary);
        let hex: Vec<_> = plain.iter().map(|text| hex(text)).collect();
        Self([plain, hex].concat())
    }

    pub(crate) fn in_text(&self, text: &str) -> bool {
        self.0.iter().any(|needle| text.contains(needle))
    }
}

/// Encodes as PostgreSQL prints bytes.
fn hex(text: &str) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    #[test]
    fn canary_is_found_wrapped_or_plain() {
        let needles = CanarySearch::of("CANARY-of-this-very-test");
        let wrapped = STANDARD.encode("..CANARY-of-this-very-test..");
        assert!(needles.in_text("x CANARY-of-this-very-test y"));
        assert!(needles.in_text(&wrapped));
        assert!(needles.in_text(&hex("..CANARY-of-this-very-test..")));
        assert!(needles.in_text(&hex(&wrapped)));
        assert!(!needles.in_text("CANARY"));
    }
}
