//! The one check of text that comes from outside: no control characters, which neither PostgreSQL (U+0000) nor a log line
//! nor a terminal can take.

/// What is wrong with a text that has control characters.
pub(crate) const NO_CONTROLS: &str = "text without control characters";

/// Whether a text has no control characters.
pub(crate) fn is_clean(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// The text with its control characters replaced, for pointers and messages.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(100).collect()
}
