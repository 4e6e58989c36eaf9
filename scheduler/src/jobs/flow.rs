//! Flow of jobs: counts of each closed minute, added up to hours later.

use crate::{Parts, StepError};

/// Rows of old hours removed by one step.
const MAX_ROWS_PER_STEP: i64 = 5000;

/// Fills the minutes that have closed, adds minutes older than 48 h up to hours, and removes old hours. Returns the
/// number of minutes filled.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let mut tx = parts.store.begin().await?;
    let filled = tx.flow().fill().await?;
    tx.commit().await?;
    let mut tx = parts.store.begin().await?;
    tx.flow().roll_up().await?;
    tx.flow().prune(MAX_ROWS_PER_STEP).await?;
    tx.commit().await?;
    Ok(filled)
}
