//! Pauses of installations that GitHub has suspended.

use domain::{AuditEntry, InstallationId, SecurityEvent, Severity};
use futures::future::join_all;
use installations::is_rate_limited;
use operations::{Operations, ReportedSuspension, SUSPENSION_PAUSE};
use queue::Reason;
use serde_json::json;
use store::{StoreError, Suspended, Tx};

use crate::{Parts, StepError};

/// Renews the pause of every suspended installation after asking GitHub whether it is still suspended; the event that
/// says so may be lost. An installation with a different id than the configured one was installed anew. Returns the
/// number of installations that may go on.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let suspended = parts.store.conn().await?.installations().suspended().await?;
    let all = suspended.iter().map(|one| async {
        if is_lifted(&parts, one).await {
            return Ok(u64::from(end_suspension(&parts, one).await?));
        }
        parts.queue.pause(&one.installation, SUSPENSION_PAUSE, Reason::Suspended).await?;
        Ok(0)
    });
    // All at the same time: a slow GitHub of one installation does not delay the others.
    join_all(all).await.into_iter().sum()
}

/// Records that a GitHub response reported a suspension.
///
/// # Errors
/// Returns the database's error.
pub(crate) async fn record_suspension(
    parts: &Parts,
    installation: &InstallationId,
    message: &str,
) -> Result<(), StepError> {
    let (github_id, github) =
        (parts.installations.github_id(installation), parts.installations.get(installation));
    let (Some(github_id), Some(github)) = (github_id, github) else { return Ok(()) };
    let pool = parts.installations.pool_of(installation);
    let reported = ReportedSuspension { installation, pool, github_id, at: github.now(), message };
    Ok(Operations::new(&parts.store, &parts.queue).record_suspension(reported).await?)
}

async fn is_lifted(parts: &Parts, one: &Suspended) -> bool {
    let (id, github) =
        (parts.installations.github_id(&one.installation), parts.installations.get(&one.installation));
    let (Some(id), Some(github)) = (id, github) else { return false };
    if id != one.github_id {
        return true;
    }
    if is_rate_limited(&parts.queue, &one.installation).await.unwrap_or(true) {
        return false;
    }
    match github.get_installation().await {
        Ok(found) => found.id == one.github_id && found.suspended_at.is_none(),
        Err(error) => {
            tracing::debug!(installation = %one.installation, %error, "GitHub could not be asked whether the installation is still suspended");
            false
        }
    }
}

async fn end_suspension(parts: &Parts, one: &Suspended) -> Result<bool, StepError> {
    let mut tx = parts.store.begin().await?;
    if !tx.installations().end_suspension(one).await? {
        return Ok(false);
    }
    let entry = AuditEntry {
        data: json!({ "installation": one.installation, "github_id": one.github_id }),
        ..AuditEntry::service("installation.changed")
    };
    tx.audit().write(&entry).await?;
    let (event_type, severity) = ("installation_unsuspended", Severity::Medium);
    tx.audit().alarm(&SecurityEvent { event_type, severity, action_taken: "resumed" }, &entry).await?;
    tx.commit().await?;
    lift(parts, &one.installation).await?;
    Ok(true)
}

/// Pauses or resumes an installation. If the queue is unavailable, no job runs; the next step repeats the call, and a
/// pause without renewal ends by itself.
pub(crate) async fn pause_suspended(parts: &Parts, installation: &InstallationId, pause: bool) {
    let shared = if pause {
        parts
            .queue
            .pause(installation, SUSPENSION_PAUSE, Reason::Suspended)
            .await
            .map(drop)
            .map_err(StepError::from)
    } else {
        lift(parts, installation).await
    };
    if let Err(error) = shared {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(%installation, pause, error, "the pause could not be written to the queue");
    }
}

/// Inserts the row of an installation that was configured just now.
pub(crate) async fn ensure_row(
    parts: &Parts,
    tx: &mut Tx,
    installation: &InstallationId,
) -> Result<(), StoreError> {
    let pool = parts.installations.pool_of(installation);
    tx.installations().ensure_app(installation, pool).await
}

/// Lifts the pause of an installation whose suspension is over. An admin's pause of it stays.
async fn lift(parts: &Parts, installation: &InstallationId) -> Result<(), StepError> {
    Ok(parts.queue.resume(installation, Reason::Suspended).await?)
}
