//! Many audit rows in one statement.

use domain::AuditEntry;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Audit, Result, page::owner_columns};

impl Audit<'_> {
    /// Writes rows whose identity is known, in their order.
    pub async fn write_all(&mut self, entries: &[AuditEntry]) -> Result<()> {
        let rows: Value = entries.iter().map(row_json).collect();
        sqlx::query!(
            "INSERT INTO audit_log (id, event_type, user_id, client_id, user_identity, runner_id, runner_name, team_id,
                job_id, request_ip, user_agent, request_id, event_data, success, error_message, oidc_sub)
             SELECT id, event_type, user_id, client_id, user_identity, runner_id, runner_name, team_id, job_id,
                request_ip, user_agent, request_id, event_data, error_message IS NULL, error_message, oidc_sub
             FROM jsonb_to_recordset($1) AS r (id uuid, event_type text, user_id uuid, client_id uuid,
                user_identity text, runner_id uuid, runner_name text, team_id uuid, job_id uuid, request_ip text,
                user_agent text, request_id text, event_data jsonb, error_message text, oidc_sub text)",
            rows,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }
}

fn row_json(entry: &AuditEntry) -> Value {
    let (user, client) = owner_columns(entry.requester);
    json!({
        "id": Uuid::now_v7(),
        "event_type": entry.event_type,
        "user_id": user,
        "client_id": client,
        "user_identity": entry.identity,
        "runner_id": entry.runner,
        "runner_name": entry.runner_name,
        "team_id": entry.team,
        "job_id": entry.job,
        "request_ip": entry.origin.ip,
        "user_agent": entry.origin.user_agent,
        "request_id": entry.origin.request_id,
        "event_data": entry.stored_data(),
        "error_message": entry.error,
        "oidc_sub": entry.subject,
    })
}
