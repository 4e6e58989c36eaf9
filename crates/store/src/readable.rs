//! Handling of rows that this version of the program cannot read, because a newer one may have written them. They are
//! reported and left unchanged; the rows beside them are served.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::Utc;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Result, StoreError};

/// Seconds between two reports of one process.
const REPORT_EVERY: i64 = 10;

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
