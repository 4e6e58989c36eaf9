//! Numbers, times and durations as the sentences of a verdict write them.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    picture::{Picture, UnacknowledgedEvents},
    sentence::marked,
};

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

/// Returns the time after a duration, as a part of its own.
pub(super) fn time_after(picture: &Picture, left: Duration) -> String {
    let left = TimeDelta::from_std(left).unwrap_or(TimeDelta::zero());
    marked(picture.at.checked_add_signed(left).unwrap_or(picture.at))
}

/// Returns the sentence about Redis that does not answer.
pub(super) fn queue_away(picture: &Picture) -> String {
    let since = picture.queue_away_for.map(|past| format!(" since {}", time_before(picture, past)));
    format!("Redis does not answer{}; requests are accepted, but no job starts.", since.unwrap_or_default())
}

/// Returns how much more workers would help, if this number of them finds jobs.
pub(super) fn help_of_workers(more: u64) -> String {
    match more {
        0 => "GitHub's limits leave no job for further workers".to_owned(),
        1 => "about 1 more worker would help".to_owned(),
        more => format!("about {more} more workers would help"),
    }
}

/// Returns the time before a duration, as a part of its own.
fn time_before(picture: &Picture, past: Duration) -> String {
    let past = TimeDelta::from_std(past).unwrap_or(TimeDelta::zero());
    marked(picture.at.checked_sub_signed(past).unwrap_or(picture.at))
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
