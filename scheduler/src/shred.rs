//! Secrets and records that are not needed any more.

use crate::{Parts, StepError};

/// Rows of one step.
const MOST: i64 = 1000;

/// Empties configs that were handed out 120 s ago or have expired. Answers how many.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    Ok(parts.store.read().await?.credentials().shred(MOST).await?)
}

/// Forgets Idempotency-Keys older than seven days, and workers not heard of for an hour. Answers how many.
pub async fn forget(parts: Parts) -> Result<u64, StepError> {
    let mut read = parts.store.read().await?;
    Ok(read.idempotency().forget(MOST * 10).await? + read.workers().forget().await?)
}
