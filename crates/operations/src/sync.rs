//! Requests for sync runs.

use domain::InstallationId;
use serde_json::json;
use store::{Store, TriggeredRow};

use crate::{Administrator, Result};

/// Requests a sync run of one installation, or of all. With `confirm`, it also approves as many removals as the last
/// run held. Returns the installations. If there is no such installation, it returns none and writes nothing.
///
/// # Errors
/// Database errors.
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
