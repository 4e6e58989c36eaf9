//! Rows that come from the predecessor's database, beside the queries of their nouns.

use chrono::{DateTime, Utc};
use domain::{InstallationId, Requester, RunnerId, TeamId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, page::owner_columns};

/// Queries of an import on one connection.
#[derive(Debug)]
pub struct Imports<'c>(pub(crate) &'c mut PgConnection);

/// A runner that another service made.
#[derive(Clone, Debug)]
pub struct ImportedRunner {
    /// Id of the runner.
    pub id: RunnerId,
    /// Installation.
    pub installation: InstallationId,
    /// Team that owns it.
    pub team: TeamId,
    /// Caller who requested it.
    pub owner: Requester,
    /// Name on GitHub.
    pub name: String,
    /// GitHub's id.
    pub github_runner_id: Option<i64>,
    /// Runner group.
    pub runner_group_id: i64,
    /// Labels.
    pub labels: Vec<String>,
    /// Whether it ends after one job.
    pub ephemeral: bool,
    /// `pending`, `active` or `offline`.
    pub status: String,
    /// Time at which it appeared on GitHub.
    pub registered_at: Option<DateTime<Utc>>,
}

/// An audit row of another service. Its own time and details are in `data`.
#[derive(Clone, Debug)]
pub struct ImportedAuditRow {
    /// Event type.
    pub event_type: String,
    /// Identity of the requester.
    pub identity: String,
    /// Subject of the requester.
    pub subject: Option<String>,
    /// Name of the runner.
    pub runner_name: Option<String>,
    /// Team.
    pub team: Option<Uuid>,
    /// Details.
    pub data: Value,
    /// Whether it succeeded.
    pub success: bool,
    /// Reason of a failure.
    pub error: Option<String>,
}

impl Imports<'_> {
    /// Returns the `reached` of the last import from this source, 0 without one.
    pub async fn reached(&mut self, source: &str) -> Result<i32> {
        Ok(sqlx::query_scalar!(
            r#"SELECT (event_data->>'audit_reached')::integer AS "reached!" FROM audit_log
             WHERE event_type = 'predecessor.import' AND event_data->>'source' = $1
             ORDER BY id DESC LIMIT 1"#,
            source
        )
        .fetch_optional(&mut *self.0)
        .await?
        .unwrap_or_default())
    }

    /// Inserts a runner. Returns whether it is new: neither its id, nor its name or GitHub's id among live runners, is
    /// taken.
    pub async fn insert_runner(&mut self, runner: &ImportedRunner) -> Result<bool> {
        let (user, client) = owner_columns(Some(runner.owner));
        let done = sqlx::query!(
            "WITH made AS (
                INSERT INTO runners (id, installation, team_id, owner_user, owner_client, name, status, github_runner_id,
                    runner_group_id, labels, ephemeral, registered_at, offline_since)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, coalesce($12, now()),
                    CASE WHEN $7 = 'offline' THEN now() END)
                ON CONFLICT DO NOTHING RETURNING id, status
             )
             INSERT INTO runner_events (runner_id, to_status, source, detail)
             SELECT id, status, 'api', 'imported from the predecessor' FROM made",
            runner.id.uuid(),
            runner.installation.as_str(),
            runner.team.uuid(),
            user,
            client,
            runner.name,
            runner.status,
            runner.github_runner_id,
            runner.runner_group_id,
            &runner.labels,
            runner.ephemeral,
            runner.registered_at,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Appends audit rows, in this order.
    pub async fn append_audit_rows(&mut self, rows: &[ImportedAuditRow]) -> Result<()> {
        let ids: Vec<Uuid> = rows.iter().map(|_| Uuid::now_v7()).collect();
        let types: Vec<String> = rows.iter().map(|row| row.event_type.clone()).collect();
        let identities: Vec<String> = rows.iter().map(|row| row.identity.clone()).collect();
        let subjects: Vec<Option<String>> = rows.iter().map(|row| row.subject.clone()).collect();
        let names: Vec<Option<String>> = rows.iter().map(|row| row.runner_name.clone()).collect();
        let teams: Vec<Option<Uuid>> = rows.iter().map(|row| row.team).collect();
        let data: Vec<Value> = rows.iter().map(|row| row.data.clone()).collect();
        let success: Vec<bool> = rows.iter().map(|row| row.success).collect();
        let errors: Vec<Option<String>> = rows.iter().map(|row| row.error.clone()).collect();
        sqlx::query!(
            "INSERT INTO audit_log (id, event_type, user_identity, oidc_sub, runner_name, team_id, event_data, success,
                error_message)
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::jsonb[],
                $8::boolean[], $9::text[])",
            &ids,
            &types,
            &identities,
            &subjects as &[Option<String>],
            &names as &[Option<String>],
            &teams as &[Option<Uuid>],
            &data,
            &success,
            &errors as &[Option<String>],
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }
}
