//! Counts for an overview.

use store::{Counts, Lists, StoreError};

use crate::Viewer;

/// Counts runners, users, teams, security events and audit rows.
///
/// # Errors
/// Database errors.
pub async fn count_everything(lists: &mut Lists, _: Viewer) -> Result<Counts, StoreError> {
    lists.stats().counts().await
}
