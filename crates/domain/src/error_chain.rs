//! One-line text of an error and its causes.

use std::error::Error;

/// Maximum number of causes shown.
const MAX_CAUSES: usize = 8;
/// Maximum length of the text, in characters.
const MAX_CHARACTERS: usize = 500;

/// Returns an error and its causes, outermost first, joined by `: `. A cause that repeats the one before it is left
/// out.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let mut texts: Vec<String> = causes.take(MAX_CAUSES).map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ").chars().take(MAX_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn causes_are_joined_and_repetitions_left_out() {
        let link = |text, source: Option<Link>| Link { text, source: source.map(Box::new) };
        let error = link("outer", Some(link("outer", Some(link("inner", None)))));
        assert_eq!(error_chain(&error), "outer: inner");
    }
}
