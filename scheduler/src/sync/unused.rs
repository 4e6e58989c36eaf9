//! A config nobody used in time: its runner goes, and its place in the quota returns.

use domain::ReclaimReason;
use operations::leftover_removal;
use store::NewJob;

use crate::{Parts, StepError, enqueue::insert_and_enqueue};

/// Runners of one step.
const MAX_REMOVALS_PER_STEP: i64 = 200;

/// Sends a job after every runner whose config was issued longer ago than it lives and that never came online. The job
/// looks again: one that is online after all is left alone. Answers how many.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let unused =
        parts.store.conn().await?.runners().unused(parts.sync.config_life, MAX_REMOVALS_PER_STEP).await?;
    let jobs: Vec<NewJob> =
        unused.iter().map(|runner| leftover_removal(runner, ReclaimReason::Unused)).collect();
    insert_and_enqueue(&parts, &jobs).await
}
