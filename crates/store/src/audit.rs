//! Rows of the audit log and security events, and the update of an event with the action taken.

mod acknowledge;
mod by_ids;
mod by_request;
mod list;
mod security;

use chrono::{DateTime, Utc};
use domain::{ActionTaken, RunnerId, TeamId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::{
    by_request::RequestSubject,
    list::AuditFilter,
    security::{SecurityFilter, SecurityRow},
};
use crate::Result;

/// Audit queries on one connection.
#[derive(Debug)]
pub struct Audit<'c>(pub(crate) &'c mut PgConnection);

/// One audit row as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// Id of the row.
    pub id: Uuid,
    /// Type of the event, such as `runner.provision`.
    pub event_type: String,
    /// Identity of the caller.
    pub user_identity: Option<String>,
    /// Subject of the caller's token.
    pub oidc_sub: Option<String>,
    /// Runner the row is about.
    pub runner_id: Option<Uuid>,
    /// Name of the runner.
    pub runner_name: Option<String>,
    /// Team the row is about.
    pub team_id: Option<Uuid>,
    /// Current name of the team.
    pub team_name: Option<String>,
    /// Job the row is about.
    pub job_id: Option<Uuid>,
    /// IP address of the request.
    pub request_ip: Option<String>,
    /// User agent of the request.
    pub user_agent: Option<String>,
    /// Id of the request.
    pub request_id: Option<String>,
    /// Details.
    pub event_data: Option<Value>,
    /// Whether the operation succeeded.
    pub success: bool,
    /// Reason of a failure.
    pub error_message: Option<String>,
    /// Time of the first occurrence.
    pub timestamp: DateTime<Utc>,
    /// Number of occurrences within one minute.
    pub occurrences: i32,
    /// Time of the last occurrence, if there are several.
    pub last_at: Option<DateTime<Utc>>,
}

impl Audit<'_> {
    /// Returns whether a security event of this type exists for a workflow job on a runner.
    pub async fn was_reported(
        &mut self,
        event_type: &str,
        runner: RunnerId,
        workflow_job: i64,
    ) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM security_events
                WHERE runner_id = $1 AND violation_data ->> 'workflow_job_id' = $2
                    AND violation_data ? 'workflow_job_id' AND event_type = $3) AS "told!""#,
            runner.uuid(),
            workflow_job.to_string(),
            event_type,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Updates the action of the newest event of these types about a runner. Events with a final action (removed,
    /// labels restored, cancelled) stay as they are.
    pub async fn update_action(
        &mut self,
        team: TeamId,
        runner: RunnerId,
        event_types: &[&str],
        action: ActionTaken,
    ) -> Result<()> {
        let event_types: Vec<String> = event_types.iter().map(ToString::to_string).collect();
        sqlx::query!(
            "UPDATE security_events SET action_taken = $4 WHERE id = (
                SELECT id FROM security_events WHERE team_id = $1 AND runner_id = $2 AND event_type = ANY($3)
                ORDER BY id DESC LIMIT 1)
             AND action_taken NOT IN ('removed', 'labels_restored', 'cancelled')",
            team.uuid(),
            runner.uuid(),
            &event_types,
            action.as_str(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }
}
