//! Removal of runners that have been offline for a long time.

use chrono::TimeDelta;
use domain::ReclaimReason;
use operations::leftover_removal;
use store::NewJob;

use crate::{Parts, StepError, enqueue::insert_and_enqueue};

/// Runners handled by one step.
const MAX_REMOVALS_PER_STEP: i64 = 500;

/// Orders the removal of runners that have been offline for longer than `age`, oldest first, at most 500. The job asks
/// GitHub again and leaves a runner alone that is back online. Returns the number of jobs.
///
/// # Errors
/// Returns errors of the database and the queue.
pub async fn clean_up(parts: &Parts, age: TimeDelta) -> Result<u64, StepError> {
    let stale = parts.store.conn().await?.runners().stale(age, MAX_REMOVALS_PER_STEP).await?;
    let jobs: Vec<NewJob> =
        stale.iter().map(|runner| leftover_removal(runner, ReclaimReason::Stale)).collect();
    insert_and_enqueue(parts, &jobs).await
}

/// Orders the removal of runners that have been offline for longer than the settings allow.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    clean_up(&parts, parts.sync.stale_after).await
}
