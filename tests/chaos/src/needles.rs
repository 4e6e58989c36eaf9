//! Looking for the canary, in whatever form it may have got out.

/// Every text by which it is known.
#[derive(Clone, Debug)]
pub(crate) struct Needles(Vec<String>);

impl Needles {
    pub(crate) fn of(canary: &str) -> Self {
        Self(twin::needles(canary))
    }

    pub(crate) fn in_text(&self, text: &str) -> bool {
        self.0.iter().any(|needle| text.contains(needle))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    #[test]
    fn the_canary_is_found_wrapped_or_plain() {
        let needles = Needles::of("CANARY-of-this-very-test");
        assert!(needles.in_text("x CANARY-of-this-very-test y"));
        assert!(needles.in_text(&STANDARD.encode("..CANARY-of-this-very-test..")));
        assert!(!needles.in_text("CANARY"));
    }
}
