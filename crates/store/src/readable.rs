//! Rows that this version of the program cannot read: a newer one may have written them. They are left alone and
//! reported; the rows beside them are served.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::Utc;

use crate::StoreError;

/// Seconds between two reports of one process.
const REPORT_EVERY: i64 = 10;

/// Those of the rows that can be read.
pub(crate) fn readable<R, T>(rows: Vec<R>) -> Vec<T>
where
    T: TryFrom<R, Error = StoreError>,
{
    rows.into_iter().filter_map(|row| keep_readable(T::try_from(row))).collect()
}

/// The value, unless its row cannot be read, which is reported.
pub(crate) fn keep_readable<T>(read: crate::Result<T>) -> Option<T> {
    read.inspect_err(report).ok()
}

/// Logs that a row was left out, every now and then, with how many there were since.
fn report(error: &StoreError) {
    static LAST: AtomicI64 = AtomicI64::new(0);
    static SKIPPED: AtomicU64 = AtomicU64::new(0);
    let skipped = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let (now, last) = (Utc::now().timestamp(), LAST.load(Ordering::Relaxed));
    let due = (now - last).abs() >= REPORT_EVERY;
    if due && LAST.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        SKIPPED.fetch_sub(skipped, Ordering::Relaxed);
        tracing::error!(
            %error,
            skipped,
            "rows that this version cannot read were left alone; a newer version may have written them"
        );
    }
}
