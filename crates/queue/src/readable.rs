//! Answers of scripts with rows that this version cannot read: during an upgrade a newer version writes them. They are left
//! alone and reported; the rows beside them are served.

use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};

use crate::QueueError;

/// Time between two reports of one process.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Returns the rows that can be read; reports the others.
pub(crate) fn readable<T>(rows: impl Iterator<Item = Result<T, QueueError>>) -> Vec<T> {
    rows.filter_map(keep_readable).collect()
}

/// Returns the value; none, and a report, when it cannot be read.
pub(crate) fn keep_readable<T>(read: Result<T, QueueError>) -> Option<T> {
    read.inspect_err(|error| report(error, 1)).ok()
}

/// Counts values that were left alone, and logs that at most every ten seconds.
pub(crate) fn report(error: &QueueError, count: u64) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    metrics::counter!("rts_unreadable_total", "store" => "redis").increment(count);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
        *last = Some(Instant::now());
        tracing::error!(
            %error,
            "values in Redis that this version cannot read were left alone; a newer version may have written them"
        );
    }
}
