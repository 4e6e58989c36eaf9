//! Sentence of a verdict in parts, so that a page can show its times in the zone of its reader.

use std::fmt;

use chrono::{DateTime, Utc};

/// Stands before and after a time while a sentence is written. Text from outside has no control characters there.
const MARK: char = '\u{1}';

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentencePart {
    /// Words and numbers.
    Text(String),
    /// A time.
    Time {
        /// The time, to the second.
        at: DateTime<Utc>,
        /// Whether it is on the day of the sentence, so that the time of day says enough.
        is_today: bool,
    },
}

impl fmt::Display for SentencePart {
    /// Writes a time in UTC, with its day if it is another one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Time { at, is_today: true } => write!(f, "{}", at.format("%H:%M UTC")),
            Self::Time { at, is_today: false } => write!(f, "{}", at.format("%Y-%m-%d %H:%M UTC")),
        }
    }
}

/// Returns a time as [`parts`] reads it.
pub(super) fn marked(at: DateTime<Utc>) -> String {
    format!("{MARK}{}{MARK}", at.timestamp())
}

/// Returns the parts of a sentence with [`marked`] times that is written at `now`.
pub(super) fn parts(sentence: &str, now: DateTime<Utc>) -> Vec<SentencePart> {
    let pieces = sentence.split(MARK).enumerate().filter(|(_, piece)| !piece.is_empty());
    let part = |(index, piece): (usize, &str)| {
        let time = (index % 2 == 1).then(|| DateTime::from_timestamp(piece.parse().ok()?, 0)).flatten();
        time.map_or_else(
            || SentencePart::Text(piece.to_owned()),
            |at| SentencePart::Time { at, is_today: at.date_naive() == now.date_naive() },
        )
    };
    pieces.map(part).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn times_are_parts_of_their_own() {
        let now: DateTime<Utc> = "2026-11-28T23:12:00Z".parse().unwrap();
        let (soon, later) = (now + TimeDelta::minutes(18), now + TimeDelta::hours(1));
        let text = |text: &str| SentencePart::Text(text.to_owned());
        let found = parts(&format!("Until {} or {}.", marked(soon), marked(later)), now);
        assert_eq!(
            found,
            [
                text("Until "),
                SentencePart::Time { at: soon, is_today: true },
                text(" or "),
                SentencePart::Time { at: later, is_today: false },
                text("."),
            ]
        );
        let sentence: String = found.iter().map(ToString::to_string).collect();
        assert_eq!(sentence, "Until 23:30 UTC or 2026-11-29 00:12 UTC.");
        assert_eq!(parts("No time.", now), [text("No time.")]);
    }
}
