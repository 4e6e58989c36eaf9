//! Check of external text: PostgreSQL (U+0000), log lines and terminals cannot take control characters.

/// Error detail of a text with control characters.
pub const NO_CONTROLS: &str = "text must not contain control characters";

/// Returns whether a text has no control characters.
pub fn is_clean(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Returns the first 100 characters with control characters replaced, for pointers and messages.
pub fn sanitized(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(100).collect()
}
