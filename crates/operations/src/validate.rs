//! Checks of the values that admins write.

use domain::{FieldError, Problem};

/// Longest comment or reason, in characters.
pub(crate) const MAX_REASON: usize = 500;

/// Adds an error unless `text` has 1 to `max` characters, none of them a control character, and no space at either end.
pub fn check_text(errors: &mut Vec<FieldError>, pointer: &str, text: &str, max: usize) {
    let length = text.chars().count();
    if length == 0 || length > max || text.chars().any(char::is_control) || text.trim() != text {
        errors.push(FieldError::new(
            pointer,
            format!("1 to {max} printable characters, no space at either end"),
        ));
    }
}

/// Checks a text like [`check_text`] if it is given.
pub(crate) fn check_optional(errors: &mut Vec<FieldError>, pointer: &str, text: Option<&str>, max: usize) {
    if let Some(text) = text {
        check_text(errors, pointer, text, max);
    }
}

/// Checks a comment or a reason, if it is given.
pub(crate) fn check_reason(pointer: &str, text: Option<&str>) -> Result<(), Problem> {
    let mut errors = Vec::new();
    check_optional(&mut errors, pointer, text, MAX_REASON);
    settle(errors)
}

/// Returns the beginning of a text, at most `max` characters.
pub(crate) fn truncated(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// Returns whether the text has the form of an e-mail address. Only the identity provider knows whether it exists.
pub fn is_email(text: &str) -> bool {
    let parts = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.len() > 2);
    parts
        && text.len() <= 254
        && text.matches('@').count() == 1
        && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

/// Makes the collected errors a problem.
///
/// # Errors
/// `validation_failed` with all errors, if there are any.
pub fn settle(errors: Vec<FieldError>) -> Result<(), Problem> {
    if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
}
