//! Nouns of the API: where their list is, and which columns a table of them has.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{age, scalar};

/// How a column shows its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    Text,
    /// How long ago a time was. `wide` shows the time itself.
    Age,
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Heading.
    pub(crate) header: &'static str,
    /// Place in the item, as a JSON pointer.
    pub(crate) at: &'static str,
    show: Show,
    only_wide: bool,
}

impl Column {
    /// Returns a column of texts.
    pub(crate) const fn text(header: &'static str, at: &'static str) -> Self {
        Self { header, at, show: Show::Text, only_wide: false }
    }

    /// Returns a column of times.
    pub(crate) const fn age(header: &'static str, at: &'static str) -> Self {
        Self { header, at, show: Show::Age, only_wide: false }
    }

    /// Returns the column for wide tables only.
    pub(crate) const fn wide(self) -> Self {
        Self { only_wide: true, ..self }
    }

    /// Returns whether the table has the column.
    pub(crate) fn is_shown(&self, wide: bool) -> bool {
        wide || !self.only_wide
    }

    /// Returns the cell of an item.
    pub(crate) fn cell(&self, item: &Value, wide: bool, now: DateTime<Utc>) -> String {
        let value = item.pointer(self.at).unwrap_or(&Value::Null);
        match self.show {
            Show::Age if !wide => age(value, now),
            Show::Age | Show::Text => scalar(value),
        }
    }
}

/// A kind of thing that the API lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noun {
    /// Path of the list below `/api/v1`.
    pub(crate) path: &'static [&'static str],
    /// Member of the answer that holds the items.
    pub(crate) key: &'static str,
    /// Member of an item that names it to other commands.
    pub(crate) name: &'static str,
    /// Whether the list has `limit` and `cursor`.
    pub(crate) paged: bool,
    /// Columns of its table.
    pub(crate) columns: &'static [Column],
}
