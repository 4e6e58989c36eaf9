//! Repair of admins' pauses that the queue has lost.

use operations::{RestoreError, restore_pauses};

use crate::{Parts, StepError};

/// Writes the pauses of the database to the queue where they are missing. Returns their number.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    restore_pauses(&parts.store, &parts.queue).await.map_err(|error| match error {
        RestoreError::Store(error) => error.into(),
        RestoreError::Queue(error) => error.into(),
    })
}
