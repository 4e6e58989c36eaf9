//! Script results with rows that this version cannot read, because a newer version wrote them during an upgrade. Such
//! rows are skipped and reported; the others are used.

use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};

use crate::QueueError;

/// Time between two reports of one process.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Returns the readable rows; reports the others.
pub(crate) fn readable<T>(rows: impl Iterator<Item = Result<T, QueueError>>) -> Vec<T> {
    rows.filter_map(keep_readable).collect()
}

/// Returns the value; reports it and returns `None` if it cannot be read.
pub(crate) fn keep_readable<T>(read: Result<T, QueueError>) -> Option<T> {
    read.inspect_err(|error| report(error, 1)).ok()
}

/// Counts skipped values, and logs that at most every ten seconds.
pub(crate) fn report(error: &QueueError, count: u64) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    metrics::counter!("rts_unreadable_total", "store" => "redis").increment(count);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
        *last = Some(Instant::now());
        tracing::error!(
            %error,
            "Skipped values in Redis that this version cannot read; a newer version may have written them"
        );
    }
}
