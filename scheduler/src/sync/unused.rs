//! Removal of runners whose config was not used in time, which frees their place in the quota.

use domain::ReclaimReason;
use operations::leftover_removal;
use store::NewJob;

use crate::{Parts, StepError, enqueue::insert_and_enqueue};

/// Runners handled by one step.
const MAX_REMOVALS_PER_STEP: i64 = 200;

/// Orders the removal of runners that never came online within the lifetime of their config. The job checks again and
/// leaves a runner alone that is online after all. Returns the number of jobs.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let unused =
        parts.store.conn().await?.runners().unused(parts.sync.config_life, MAX_REMOVALS_PER_STEP).await?;
    let jobs: Vec<NewJob> =
        unused.iter().map(|runner| leftover_removal(runner, ReclaimReason::Unused)).collect();
    insert_and_enqueue(&parts, &jobs).await
}
