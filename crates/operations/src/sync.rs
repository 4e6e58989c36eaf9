//! Requests for a comparison of the fleet with GitHub.

use domain::InstallationId;
use serde_json::json;
use store::{Store, TriggeredRow};

use crate::{Administrator, Result};

/// Asks the scheduler for a sync of one installation, or of every one; with `confirm`, also where that may remove as many
/// runners at once as the last run held back. Returns the installations; none if there is no such installation, and then
/// nothing is written.
///
/// # Errors
/// The database's.
pub async fn request_sync(
    store: &Store,
    admin: &Administrator,
    only: Option<&InstallationId>,
    confirm: bool,
) -> Result<Vec<TriggeredRow>> {
    let mut tx = store.begin().await?;
    let triggered = tx.sync_runs().trigger(only, confirm).await?;
    if triggered.is_empty() {
        return Ok(triggered);
    }
    let names: Vec<&String> = triggered.iter().map(|one| &one.installation).collect();
    let confirmed: Vec<&String> =
        triggered.iter().filter(|one| one.confirmed).map(|one| &one.installation).collect();
    let details = json!({ "confirm_removals": confirm, "installations": names, "confirmed": confirmed });
    tx.audit().write(&admin.record("sync.trigger", None, details)).await?;
    tx.commit().await?;
    Ok(triggered)
}
