//! Numbers, times and durations as the sentences of a verdict write them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::picture::{Picture, UnacknowledgedEvents};

/// Longest quotation of a text from outside, in characters.
const MAX_QUOTE: usize = 120;

/// Returns the sentence about events that no admin has acknowledged; `None` without events.
pub(super) fn unacknowledged(events: UnacknowledgedEvents) -> Option<String> {
    let UnacknowledgedEvents { critical, high } = events;
    let count = |number: u64, word: &str| (number > 0).then(|| format!("{number} {word}"));
    let counts: Vec<String> =
        [count(critical, "critical"), count(high, "high")].into_iter().flatten().collect();
    let (noun, verb) = if critical + high == 1 { ("event", "waits") } else { ("events", "wait") };
    (!counts.is_empty())
        .then(|| format!("{} security {noun} {verb} for an admin's acknowledgement.", counts.join(" and ")))
}

/// Returns "1 job waits" or "7 jobs wait".
pub(super) fn jobs_wait(number: u64) -> String {
    if number == 1 { "1 job waits".to_owned() } else { format!("{number} jobs wait") }
}

/// Returns the time of day after a duration, with the day if it is another one.
pub(super) fn time_after(picture: &Picture, left: Duration) -> String {
    let left = TimeDelta::from_std(left).unwrap_or(TimeDelta::zero());
    clock(picture, picture.at.checked_add_signed(left).unwrap_or(picture.at))
}

/// Returns a time of day in UTC, with the day if it is not that of the picture.
pub(super) fn clock(picture: &Picture, at: DateTime<Utc>) -> String {
    let form = if at.date_naive() == picture.at.date_naive() { "%H:%M UTC" } else { "%Y-%m-%d %H:%M UTC" };
    at.format(form).to_string()
}

/// Returns a duration in its largest unit: "0.4 s", "48 s", "7 min", "3 h", "2 d".
pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Returns a text from outside, on one line and shortened.
pub(super) fn quote(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut quoted: String = chars.by_ref().take(MAX_QUOTE).collect();
    if chars.next().is_some() {
        quoted.push('…');
    }
    quoted
}
