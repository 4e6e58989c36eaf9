//! Writing a refusal down: an audit row always, a security event where the policy was tried.

use domain::{AuditEntry, Problem, SecurityEvent};

use crate::{app::App, error::ApiResult};

/// Writes both in one transaction of their own: what was refused has been rolled back.
pub(crate) async fn note(app: &App, entry: &AuditEntry, problem: &Problem) -> ApiResult<()> {
    let mut tx = app.store.begin().await?;
    tx.audit().write(entry).await?;
    if let Some(event) = SecurityEvent::of_refusal(problem) {
        tx.audit().alarm(&event, entry).await?;
    }
    Ok(tx.commit().await?)
}
