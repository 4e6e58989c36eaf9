//! Times as people write them in filters.

use chrono::{DateTime, TimeDelta, Utc};
use domain::Problem;

/// Longest span, in days.
const MAX_DAYS: i64 = 3650;

/// Returns the time that a filter names: a span before now (`30m`, `24h`, `7d`) or a time (RFC 3339).
///
/// # Errors
/// `validation_failed` at the pointer for any other text.
pub(crate) fn since(pointer: &str, text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    let time = span(text).and_then(|span| now.checked_sub_signed(span));
    let time = time.or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc)));
    time.ok_or_else(|| {
        Problem::field(pointer, "a span such as 30m, 24h or 7d, or a time such as 2026-01-31T12:00:00Z")
    })
}

fn span(text: &str) -> Option<TimeDelta> {
    let unit = text.chars().last().filter(char::is_ascii_alphabetic)?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number >= 0)?;
    let span = match unit {
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        _ => None,
    };
    span.filter(|span| span.num_days() <= MAX_DAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_times_are_read() {
        let now = Utc::now();
        let read = |text: &str| since("query:since", text, now).map(|at| now - at).ok();
        assert_eq!(read("30m"), Some(TimeDelta::minutes(30)));
        assert_eq!(read("7d"), Some(TimeDelta::days(7)));
        assert_eq!(read(&(now - TimeDelta::hours(2)).to_rfc3339()), Some(TimeDelta::hours(2)));
        for wrong in ["", "h", "-1h", "1w", "1", "99999d", "9223372036854775807d", "yesterday", "ü"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
