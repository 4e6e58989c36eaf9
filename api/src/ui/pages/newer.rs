//! Rows that are newer than those of a list. Nothing moves under the pointer: the list says how many there are, and shows
//! them when it is asked to.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// Most newer rows that are counted.
const MAX_COUNTED: usize = 100;
/// Rows of the list that are read to count them.
pub(crate) const READ_ROWS: i64 = 101;
/// Time before the newest row from which rows are read: its id and its time come from two clocks.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% if count > 0 %}· <a href="{{ url }}">{{ count }}{% if is_more %}+{% endif %} newer – show</a>{% endif %}"#
)]
struct NewerRows<'a> {
    count: usize,
    is_more: bool,
    url: &'a str,
}

/// Returns the id after which rows are newer than the list. An empty list has none: then every row from now on is.
pub(crate) fn newest(first: Option<Uuid>) -> Uuid {
    first.unwrap_or_else(Uuid::now_v7)
}

/// Returns the begin of the period in which newer rows are looked for.
pub(crate) fn since(after: Uuid, given: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let (seconds, _) = after.get_timestamp()?.to_unix();
    let made = DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)?;
    let begin = made.checked_sub_signed(MARGIN)?;
    Some(given.map_or(begin, |given| given.max(begin)))
}

/// Returns the sentence about the rows that are newer; nothing if there are none. `url` shows the list with them.
pub(crate) fn fragment(after: Uuid, rows: impl Iterator<Item = Uuid>, url: &str) -> Response {
    let count = rows.filter(|id| *id > after).count();
    let rows = NewerRows { count: count.min(MAX_COUNTED), is_more: count > MAX_COUNTED, url };
    Html(rows.render().unwrap_or_default()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_rows_are_looked_for_from_a_minute_before_the_newest_one() {
        let after = Uuid::parse_str("01a22376-fca3-739c-8c9f-25e1d69f0368").unwrap();
        let begin = since(after, None).unwrap();
        assert_eq!(begin.to_rfc3339(), "2026-11-28T18:41:10+00:00");
        let later = begin + TimeDelta::hours(1);
        assert_eq!(since(after, Some(later)), Some(later));
        assert_eq!(since(after, Some(begin - TimeDelta::days(1))), Some(begin));
        assert_eq!(since(Uuid::nil(), None), None);
    }
}
