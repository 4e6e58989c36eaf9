//! Shredding of configs and removal of workers that no longer run.

use crate::{Parts, StepError};

/// Rows changed by one step.
const MAX_ROWS_PER_STEP: i64 = 1000;

/// Shreds configs that were handed out 120 s ago or have expired. Returns the number of configs.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    Ok(parts.store.conn().await?.credentials().shred(MAX_ROWS_PER_STEP).await?)
}

/// Removes workers without a heartbeat for an hour. Returns the number of workers.
pub async fn forget(parts: Parts) -> Result<u64, StepError> {
    Ok(parts.store.conn().await?.workers().forget().await?)
}
