//! Draining of workers.

use domain::Problem;
use serde_json::json;

use crate::{Administrator, Operations, Result, validate::check_reason};

impl Operations<'_> {
    /// Asks a worker to end its jobs and to take no more. The worker reads this with its next heartbeat, within ten
    /// seconds, and takes jobs again only after a restart.
    ///
    /// # Errors
    /// `not_found` if no worker of this name is alive; `validation_failed` for the reason; database errors.
    pub async fn drain_worker(&self, admin: &Administrator, name: &str, reason: Option<&str>) -> Result<()> {
        check_reason("/reason", reason)?;
        let mut tx = self.store.begin().await?;
        // PostgreSQL takes no NUL, and no name has a control character.
        let is_name = !name.chars().any(char::is_control);
        if !is_name || !tx.workers().request_drain(name, admin.shown_name(), reason).await? {
            return Err(Problem::not_found("worker").into());
        }
        let details = json!({ "worker": name, "reason": reason });
        tx.audit().write(&admin.record("worker.drain", None, details)).await?;
        Ok(tx.commit().await?)
    }
}
