//! Values of the predecessor in our form.

use serde_json::{Value, json};
use store::{ImportedAuditRow, OldAuditRow};
use uuid::Uuid;

use crate::validate::truncated;

/// Longest text in an audit row, in characters.
const MAX_TEXT: usize = 500;
/// Longest details of an audit row that stay JSON, in bytes.
const MAX_DETAILS: usize = 16_384;

/// Returns the texts of a JSON array that is kept in a text.
pub(super) fn texts(json: &str) -> Option<Vec<String>> {
    serde_json::from_str(json).ok()
}

/// Returns a pattern of ours that allows the same labels. The predecessor matched the beginning of a label, we match the
/// whole label.
pub(super) fn pattern(old: &str) -> String {
    if old.contains('|') {
        // An anchor may belong to one alternative alone.
        return format!("(?:{old}).*");
    }
    let plain = old.strip_prefix('^').unwrap_or(old);
    match plain.strip_suffix('$') {
        Some(whole) if !whole.ends_with('\\') => whole.to_owned(),
        _ if plain.ends_with(".*") => plain.to_owned(),
        _ => format!("(?:{plain}).*"),
    }
}

/// Returns the client id without the suffix that Auth0 adds to subjects.
pub(super) fn client_id(subject: &str) -> &str {
    subject.strip_suffix("@clients").unwrap_or(subject)
}

/// Returns an audit row that keeps the old one's id, time and details.
pub(super) fn audit_row(old: &OldAuditRow, team: Option<Uuid>) -> ImportedAuditRow {
    let plain = |text: &str| truncated(&text.replace('\0', ""), MAX_TEXT);
    let optional = |text: &Option<String>| text.as_deref().map(plain);
    let kind =
        old.event_type.chars().filter(|letter| letter.is_ascii_alphanumeric() || "._-".contains(*letter));
    ImportedAuditRow {
        event_type: format!("predecessor.{}", kind.take(80).collect::<String>()),
        identity: plain(&old.user_identity),
        subject: optional(&old.oidc_sub),
        runner_name: optional(&old.runner_name),
        team,
        data: json!({
            "id": old.id,
            "timestamp": old.timestamp.and_utc(),
            "runner_id": optional(&old.runner_id),
            "request_ip": optional(&old.request_ip),
            "user_agent": optional(&old.user_agent),
            "details": old.event_data.as_deref().map(details),
        }),
        success: old.success,
        error: optional(&old.error_message),
    }
}

/// Returns details as JSON if the database can store them, otherwise the beginning of their text.
fn details(text: &str) -> Value {
    let whole = text.len() <= MAX_DETAILS && !text.contains("\\u0000");
    let parsed = whole.then(|| serde_json::from_str(text).ok()).flatten();
    parsed.unwrap_or_else(|| Value::String(truncated(&text.replace('\0', ""), MAX_TEXT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_matched() {
        for (old, ours) in [
            ("gpu-.*", "gpu-.*"),
            ("gpu-", "(?:gpu-).*"),
            ("^gpu-[0-9]+$", "gpu-[0-9]+"),
            ("a|b", "(?:a|b).*"),
            ("^a|b$", "(?:^a|b$).*"),
            (r"cost\$", r"(?:cost\$).*"),
        ] {
            assert_eq!(pattern(old), ours, "{old}");
        }
    }

    #[test]
    fn details_that_the_database_cannot_store_become_text() {
        assert_eq!(details(r#"{"a": 1}"#), json!({ "a": 1 }));
        assert_eq!(details(r#"{"a": "\u0000"}"#), json!(r#"{"a": "\u0000"}"#));
        assert_eq!(details("no json"), json!("no json"));
    }
}
