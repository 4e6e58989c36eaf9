//! Shredding of configs, and removal of workers that no longer run and of pauses that have ended.

use crate::{Parts, StepError};

/// Rows changed by one step.
const MAX_ROWS_PER_STEP: i64 = 1000;

/// Shreds configs that were handed out 120 s ago or have expired. Returns the number of configs.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    Ok(parts.store.conn().await?.credentials().shred(MAX_ROWS_PER_STEP).await?)
}

/// Removes workers without a heartbeat for an hour, and pauses that ended a day ago. Returns the number of rows.
pub async fn forget(parts: Parts) -> Result<u64, StepError> {
    let mut conn = parts.store.conn().await?;
    Ok(conn.workers().forget().await? + conn.pauses().forget().await?)
}
