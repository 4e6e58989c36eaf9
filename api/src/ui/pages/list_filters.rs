//! Filters of a list page, as its URL has them.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use domain::FieldError;
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use super::times;
use crate::ui::format::number;

/// Rows of a page.
pub(crate) const PAGE_ROWS: i64 = 50;

/// A filter in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chip {
    /// Name and value.
    pub(crate) text: String,
    /// URL of the list without it.
    pub(crate) without: String,
}

/// The filters of a list page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filters {
    path: Cow<'static, str>,
    pairs: Vec<(&'static str, String)>,
}

impl Filters {
    /// Returns no filters for the list at a path.
    pub(crate) fn of(path: impl Into<Cow<'static, str>>) -> Self {
        Self { path: path.into(), pairs: Vec::new() }
    }

    /// Adds a filter if it has a value.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.pairs.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Removes a filter.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.pairs.retain(|(one, _)| *one != name);
        self
    }

    /// Returns whether the list is complete.
    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the value of a filter, which is empty without the filter.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.pairs.iter().find(|(one, _)| *one == name).map_or("", |(_, value)| value)
    }

    /// Returns whether a filter has this value.
    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.value(name) == value
    }

    /// Returns the address at which the list is asked for rows that are newer than this id.
    pub(crate) fn newer(&self, newest: Uuid) -> String {
        let query = encode(self.pairs.iter());
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}/newer/{newest}{mark}{query}", self.path)
    }

    /// Returns the URL of the newest rows.
    pub(crate) fn newest(&self) -> String {
        self.url(self.pairs.iter())
    }

    /// Returns the filters in force.
    pub(crate) fn chips(&self) -> Vec<Chip> {
        let chip = |(name, value): &(&'static str, String)| Chip {
            text: format!("{name}:{value}"),
            without: self.url(self.pairs.iter().filter(|(one, _)| one != name)),
        };
        self.pairs.iter().map(chip).collect()
    }

    /// Returns the URL of the next older rows.
    pub(crate) fn older(&self, cursor: Option<String>) -> Option<String> {
        let cursor = ("cursor", cursor?);
        Some(self.url(self.pairs.iter().chain([&cursor])))
    }

    /// Returns the filters as a query string to continue with, which ends with `&` unless there is none.
    pub(crate) fn query(&self) -> String {
        let mut text = encode(self.pairs.iter());
        if !text.is_empty() {
            text.push('&');
        }
        text
    }

    fn url<'p>(&self, pairs: impl Iterator<Item = &'p (&'static str, String)>) -> String {
        let query = encode(pairs);
        if query.is_empty() { self.path.to_string() } else { format!("{}?{query}", self.path) }
    }
}

fn encode<'p>(pairs: impl Iterator<Item = &'p (&'static str, String)>) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs {
        query.append_pair(name, value);
    }
    query.finish()
}

/// Returns the value of a filter that has few; a wrong one is an error.
pub(crate) fn chosen<T: Copy>(
    errors: &mut Vec<FieldError>,
    pointer: &str,
    text: Option<&str>,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Option<T> {
    let text = text?;
    let found = all.iter().copied().find(|one| word(*one) == text);
    if found.is_none() {
        let known: Vec<&str> = all.iter().map(|one| word(*one)).collect();
        errors.push(FieldError::new(pointer, format!("one of {}", known.join(", "))));
    }
    found
}

/// Returns the time of a filter; a wrong one is an error.
pub(crate) fn time(
    errors: &mut Vec<FieldError>,
    pointer: &str,
    text: Option<&str>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    match times::since(pointer, text?, now) {
        Ok(at) => Some(at),
        Err(problem) => {
            errors.extend(problem.errors);
            None
        }
    }
}

/// Returns the number of rows of a list for people.
pub(crate) fn counted(total: i64, is_lower_bound: bool, one: &str, many: &str) -> String {
    match total {
        1 if !is_lower_bound => format!("1 {one}"),
        _ if is_lower_bound => format!("more than {} {many}", number(total)),
        _ => format!("{} {many}", number(total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chips_and_older_rows_keep_the_other_filters() {
        let filters = Filters::of("/runners")
            .with("state", Some("offline"))
            .with("team", None::<String>)
            .with("q", Some("a&b=c"));
        assert_eq!(
            filters.chips(),
            [
                Chip { text: "state:offline".into(), without: "/runners?q=a%26b%3Dc".into() },
                Chip { text: "q:a&b=c".into(), without: "/runners?state=offline".into() },
            ]
        );
        let newer = filters.newer(Uuid::nil());
        assert_eq!(newer, "/runners/newer/00000000-0000-0000-0000-000000000000?state=offline&q=a%26b%3Dc");
        let older = filters.older(Some("x".into()));
        assert_eq!(older.as_deref(), Some("/runners?state=offline&q=a%26b%3Dc&cursor=x"));
        assert_eq!(
            (filters.older(None), filters.value("team"), filters.value("state")),
            (None, "", "offline")
        );
        assert_eq!(Filters::of("/audit").query(), "");
    }

    #[test]
    fn numbers_have_their_unit_and_bound() {
        assert_eq!(counted(1, false, "runner", "runners"), "1 runner");
        assert_eq!(counted(0, false, "runner", "runners"), "0 runners");
        assert_eq!(counted(1204, false, "runner", "runners"), "1,204 runners");
        assert_eq!(counted(10_000, true, "runner", "runners"), "more than 10,000 runners");
    }
}
