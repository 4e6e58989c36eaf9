//! Values of JSON as text for a terminal.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// Returns the text without control and format characters, so that a name from GitHub cannot steer the terminal.
pub(crate) fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns a value as one line: lists joined by commas, objects as JSON, nothing for `null`.
pub(crate) fn scalar(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => plain(text),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(","),
        Value::Number(_) | Value::Object(_) => plain(&value.to_string()),
    }
}

/// Returns how long ago a time was, in its largest unit; `in 5m` for a later time.
pub(crate) fn age(value: &Value, now: DateTime<Utc>) -> String {
    let Some(at) = value.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok()) else {
        return scalar(value);
    };
    let passed = now - at;
    if passed < TimeDelta::zero() { format!("in {}", span(-passed)) } else { span(passed) }
}

fn span(time: TimeDelta) -> String {
    let seconds = time.num_seconds();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn name_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{202e}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}");
    }

    #[test]
    fn values_are_one_line() {
        assert_eq!(scalar(&json!(["a", "b"])), "a,b");
        assert_eq!(scalar(&json!({ "a": "b\n" })), r#"{"a":"b\n"}"#);
        assert_eq!(scalar(&json!(null)), "");
    }

    #[test]
    fn ages_are_short() {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        let of = |text: &str| age(&json!(text), now);
        assert_eq!(of("2026-01-01T23:58:30Z"), "90s");
        assert_eq!(of("2026-01-01T22:30:00Z"), "90m");
        assert_eq!(of("2026-01-01T00:00:00Z"), "24h");
        assert_eq!(of("2025-12-01T00:00:00Z"), "32d");
        assert_eq!(of("2026-01-02T00:05:00Z"), "in 5m");
    }
}
