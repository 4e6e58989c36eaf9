//! Runners that have been offline for very long.

use chrono::TimeDelta;
use domain::ReclaimReason;
use operations::leftover_removal;
use store::NewJob;

use crate::{Parts, StepError, enqueue::insert_and_enqueue};

/// Runners of one step.
const MAX_REMOVALS_PER_STEP: i64 = 500;

/// Sends a job after each runner that has been offline for longer than `age`, oldest first, at most 500. The job asks
/// GitHub again: a runner that is back is left alone. Returns how many.
///
/// # Errors
/// The database's and the queue's.
pub async fn clean_up(parts: &Parts, age: TimeDelta) -> Result<u64, StepError> {
    let stale = parts.store.conn().await?.runners().stale(age, MAX_REMOVALS_PER_STEP).await?;
    let jobs: Vec<NewJob> =
        stale.iter().map(|runner| leftover_removal(runner, ReclaimReason::Stale)).collect();
    insert_and_enqueue(parts, &jobs).await
}

/// Sends a job after each runner that has been offline for longer than the settings say.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    clean_up(&parts, parts.sync.stale_after).await
}
