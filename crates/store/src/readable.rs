//! Handling of rows that this version of the program cannot read, because a newer one may have written them. They are
//! reported and left unchanged; the rows beside them are served.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::Utc;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Result, StoreError};

/// Seconds between two reports of one process.
const REPORT_EVERY: i64 = 10;
/// Most pages that one query reads in search of readable rows.
const MAX_PAGES: u32 = 20;

/// Returns the rows that can be read; reports the others.
pub(crate) fn readable<R, T>(rows: Vec<R>) -> Vec<T>
where
    T: TryFrom<R, Error = StoreError>,
{
    rows.into_iter().filter_map(|row| keep_readable(T::try_from(row))).collect()
}

/// Returns the value, or reports its row and returns `None` if it cannot be read.
pub(crate) fn keep_readable<T>(read: Result<T>) -> Option<T> {
    read.inspect_err(report_unreadable).ok()
}

/// Reads one row; reports it if it cannot be read.
pub(crate) fn read_row<R, T>(row: Option<R>) -> Result<Option<T>>
where
    T: TryFrom<R, Error = StoreError>,
{
    row.map(T::try_from).transpose().inspect_err(report_unreadable)
}

/// The readable rows of consecutive pages of one order, up to a number of rows. Unreadable rows at the front of the
/// order would otherwise keep the rows behind them from every caller.
#[derive(Debug)]
pub(crate) struct ReadablePages<T> {
    found: Vec<T>,
    most: i64,
    seen: i64,
    pages: u32,
}

impl<T> ReadablePages<T> {
    /// Returns no rows yet; `most` is the length of a page and the number of rows to find.
    pub(crate) fn new(most: i64) -> Self {
        Self { found: Vec::new(), most, seen: 0, pages: 0 }
    }

    /// Returns the number of rows before the next page.
    pub(crate) const fn offset(&self) -> i64 {
        self.seen
    }

    /// Adds a page; reports its unreadable rows. Returns whether another page is needed.
    pub(crate) fn add<R>(&mut self, rows: Vec<R>) -> bool
    where
        T: TryFrom<R, Error = StoreError>,
    {
        let length = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        self.seen += length;
        self.pages += 1;
        self.found.extend(readable(rows));
        self.found.truncate(usize::try_from(self.most).unwrap_or_default());
        let found = i64::try_from(self.found.len()).unwrap_or(i64::MAX);
        length >= self.most && found < self.most && self.pages < MAX_PAGES
    }

    /// Returns the rows found.
    pub(crate) fn into_found(self) -> Vec<T> {
        self.found
    }
}

/// Reads a stored value and checks that every field is known. An unknown field may change the meaning of the others.
///
/// # Errors
/// `Inconsistent` if the value cannot be read or has an unknown field.
pub(crate) fn read_exactly<T: DeserializeOwned + Serialize>(stored: &Value) -> Result<T> {
    let value: T = T::deserialize(stored).map_err(StoreError::inconsistent)?;
    let known = serde_json::to_value(&value).map_err(StoreError::inconsistent)?;
    match unknown_field(stored, &known) {
        None => Ok(value),
        Some(field) => Err(StoreError::inconsistent(format!("unknown field `{field}`"))),
    }
}

/// Returns the name of a field of `stored` that is not null and that `known` does not have.
fn unknown_field<'s>(stored: &'s Value, known: &Value) -> Option<&'s str> {
    match (stored, known) {
        (Value::Object(stored), Value::Object(known)) => {
            let mut fields = stored.iter().filter(|(_, value)| !value.is_null());
            fields.find_map(|(name, value)| match known.get(name) {
                None => Some(name.as_str()),
                Some(known) => unknown_field(value, known),
            })
        }
        (Value::Array(stored), Value::Array(known)) => {
            stored.iter().zip(known).find_map(|(stored, known)| unknown_field(stored, known))
        }
        _ => None,
    }
}

/// Counts an unreadable row, and logs the number of such rows at most every ten seconds.
pub(crate) fn report_unreadable(error: &StoreError) {
    static LAST: AtomicI64 = AtomicI64::new(0);
    static SKIPPED: AtomicU64 = AtomicU64::new(0);
    if !matches!(error, StoreError::Inconsistent(_)) {
        return;
    }
    metrics::counter!("rts_unreadable_total", "store" => "postgres").increment(1);
    let skipped = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let (now, last) = (Utc::now().timestamp(), LAST.load(Ordering::Relaxed));
    let due = (now - last).abs() >= REPORT_EVERY;
    if due && LAST.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        SKIPPED.fetch_sub(skipped, Ordering::Relaxed);
        tracing::error!(
            %error,
            skipped,
            "rows skipped that this version cannot read; a newer version may have written them"
        );
    }
}

#[cfg(test)]
mod tests {
    use domain::JobParams;
    use serde_json::json;

    use super::*;

    struct Number(i64);

    impl TryFrom<i64> for Number {
        type Error = StoreError;

        fn try_from(number: i64) -> Result<Self> {
            if number < 0 { Err(StoreError::inconsistent("negative")) } else { Ok(Self(number)) }
        }
    }

    /// Reads the pages of a table until there are two rows, and returns them.
    fn first_two(table: &[i64]) -> Vec<i64> {
        let mut pages = ReadablePages::<Number>::new(2);
        loop {
            let from = usize::try_from(pages.offset()).unwrap();
            let page = table.iter().skip(from).take(2).copied().collect();
            if !pages.add::<i64>(page) {
                return pages.into_found().into_iter().map(|number| number.0).collect();
            }
        }
    }

    #[test]
    fn unreadable_rows_do_not_hide_the_rows_behind_them() {
        assert_eq!(first_two(&[-1, -1, -1, 4, -1, -1, 5, 6]), [4, 5]);
        assert!(first_two(&[-1, -1, -1]).is_empty());
        assert_eq!(first_two(&[1, 2, 3]), [1, 2]);
        assert!(first_two(&[]).is_empty());
        assert!(first_two(&[vec![-1; 1_000], vec![1]].concat()).is_empty(), "the search is bounded");
    }

    #[test]
    fn value_with_a_field_of_a_newer_version_is_not_read() {
        let read = |value: Value| read_exactly::<JobParams>(&value).map_err(|error| error.to_string());
        let params = |more: &str| {
            let mut params =
                json!({ "kind": "provision", "name": { "prefix": "ci" }, "work_folder": "_work" });
            params[more] = json!({ "a": 1 });
            params
        };
        assert!(
            read(params("name")).is_err() && read(params("retention")).unwrap_err().contains("`retention`")
        );
        for unknown in [
            json!({ "kind": "register", "labels": [1] }),
            json!({ "kind": "deprovision", "target": "runner", "now": true }),
        ] {
            assert!(read(unknown.clone()).is_err(), "{unknown}");
        }
        assert_eq!(read(json!({ "kind": "register", "labels": null })), Ok(JobParams::Register));
        assert!(
            read(json!({ "kind": "provision", "name": { "prefix": "ci" }, "work_folder": "_work" })).is_ok()
        );
    }
}
