//! Secrets and records that are not needed any more.

use crate::{Parts, StepError};

/// Rows of one step.
const MAX_ROWS_PER_STEP: i64 = 1000;

/// Empties configs that were handed out 120 s ago or have expired. Answers how many.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    Ok(parts.store.conn().await?.credentials().shred(MAX_ROWS_PER_STEP).await?)
}

/// Forgets workers not heard of for an hour. Answers how many.
pub async fn forget(parts: Parts) -> Result<u64, StepError> {
    Ok(parts.store.conn().await?.workers().forget().await?)
}
