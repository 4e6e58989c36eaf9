//! Suspensions of installations that responses of GitHub report.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{AuditEntry, InstallationId};
use queue::Reason;
use store::StoreError;

use crate::Operations;

/// Duration of a suspended installation's pause without renewal.
pub const SUSPENSION_PAUSE: Duration = Duration::from_mins(2);

/// A suspension as a response of GitHub reports it.
#[derive(Clone, Copy, Debug)]
pub struct ReportedSuspension<'a> {
    /// The installation.
    pub installation: &'a InstallationId,
    /// Its App pool; itself if it is alone.
    pub pool: &'a InstallationId,
    /// GitHub's id of the installation.
    pub github_id: i64,
    /// Time of the response by GitHub's clock.
    pub at: DateTime<Utc>,
    /// GitHub's message.
    pub message: &'a str,
}

impl Operations<'_> {
    /// Records a suspension once, and pauses the installation. The scheduler renews the pause and detects its end.
    ///
    /// # Errors
    /// Database errors.
    pub async fn record_suspension(&self, reported: ReportedSuspension<'_>) -> Result<(), StoreError> {
        let ReportedSuspension { installation, pool, github_id, at, message } = reported;
        let mut tx = self.store.begin().await?;
        tx.installations().ensure_app(installation, pool).await?;
        if tx.installations().suspend(installation, Some(github_id), at).await? {
            tracing::error!(%installation, message, "GitHub has suspended the installation; its jobs are paused");
            let (entry, event) = AuditEntry::installation_suspended(installation, message);
            tx.audit().write(&entry).await?;
            tx.audit().alarm(&event, &entry).await?;
            tx.commit().await?;
        }
        if let Err(error) = self.queue.pause(installation, SUSPENSION_PAUSE, Reason::Suspended).await {
            tracing::warn!(%installation, %error, "the queue is unavailable; the scheduler writes the pause to it later");
        }
        Ok(())
    }
}
