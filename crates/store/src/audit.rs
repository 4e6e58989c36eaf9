//! Lists of the audit log and of security events, and the update of an event with the action taken.

use chrono::{DateTime, Utc};
use domain::{ActionTaken, RunnerId, Severity, TeamId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Listed, MAX_TOTAL, Page, Result, Visible,
    page::{MAX_PAGE_BYTES, first_id},
};

/// Audit queries on one connection.
#[derive(Debug)]
pub struct Audit<'c>(pub(crate) &'c mut PgConnection);

/// Filter of a list of audit rows.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only rows of this event type.
    pub event_type: Option<String>,
    /// Only rows of this team.
    pub team: Option<TeamId>,
    /// Only rows about this runner.
    pub runner: Option<RunnerId>,
    /// Only rows of this identity.
    pub identity: Option<String>,
    /// `true` for successes only, `false` for failures only.
    pub success: Option<bool>,
    /// Only rows since this time.
    pub since: Option<DateTime<Utc>>,
}

/// Filter of a list of security events.
#[derive(Clone, Debug, Default)]
pub struct SecurityFilter {
    /// Only events of this type.
    pub event_type: Option<String>,
    /// Only events of this severity.
    pub severity: Option<Severity>,
    /// Only events caused by this identity.
    pub identity: Option<String>,
    /// Only events of this team.
    pub team: Option<TeamId>,
}

/// One audit row as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// Id of the row.
    pub id: Uuid,
    /// Type of the event, such as `runner.provision`.
    pub event_type: String,
    /// Identity of the caller.
    pub user_identity: Option<String>,
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

/// One security event as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityRow {
    /// Id of the event.
    pub id: Uuid,
    /// Type of the event.
    pub event_type: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// Identity that caused the event.
    pub user_identity: Option<String>,
    /// Runner the event is about.
    pub runner_id: Option<Uuid>,
    /// Name of the runner.
    pub runner_name: Option<String>,
    /// Team the event is about.
    pub team_id: Option<Uuid>,
    /// Details.
    pub violation_data: Option<Value>,
    /// Action the service took.
    pub action_taken: String,
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

    /// Returns the audit rows the caller may see: all, their own, or their teams'.
    pub async fn list(
        &mut self,
        visible: &Visible,
        filter: &AuditFilter,
        page: Page,
    ) -> Result<Listed<AuditRow>> {
        let items = self.rows(visible, filter, page).await?;
        let (team, runner) = (filter.team.map(Uuid::from), filter.runner.map(Uuid::from));
        let counted = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM (SELECT FROM audit_log
             WHERE ($1 OR user_id = $2 OR client_id = $3 OR team_id = ANY($4))
                AND ($5::text IS NULL OR event_type = $5) AND ($6::uuid IS NULL OR team_id = $6)
                AND ($7::uuid IS NULL OR runner_id = $7) AND ($8::text IS NULL OR user_identity = $8)
                AND ($9::bool IS NULL OR success = $9)
                AND ($10::timestamptz IS NULL OR "timestamp" >= $10) AND ($11::uuid IS NULL OR id >= $11)
             LIMIT $12) counted"#,
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
            filter.event_type,
            team,
            runner,
            filter.identity,
            filter.success,
            filter.since,
            first_id(filter.since),
            MAX_TOTAL + 1,
        )
        .fetch_one(&mut *self.0)
        .await?;
        let bytes = items.iter().map(AuditRow::weight).sum();
        let next = page.next(items.len(), bytes, items.last().map(|last| last.id));
        Ok(Listed::bounded(items, counted, next))
    }

    /// Returns one page of the audit rows the caller may see, without a total. A page ends early when its rows are
    /// large.
    pub async fn rows(
        &mut self,
        visible: &Visible,
        filter: &AuditFilter,
        page: Page,
    ) -> Result<Vec<AuditRow>> {
        let (team, runner) = (filter.team.map(Uuid::from), filter.runner.map(Uuid::from));
        Ok(sqlx::query_as!(
            AuditRow,
            r#"SELECT id, event_type, user_identity, runner_id, runner_name, team_id,
                (SELECT name FROM teams WHERE teams.id = team_id) AS "team_name?", job_id, request_ip, user_agent,
                request_id, event_data, success, error_message, "timestamp", occurrences, last_at
             FROM audit_log
             WHERE id IN (SELECT id FROM (
                SELECT id, sum(size) OVER (ORDER BY id DESC) - size AS before FROM (
                    SELECT id, 1000 + coalesce(octet_length(event_data::text), 0) AS size FROM audit_log
                    WHERE id IN (SELECT id FROM audit_log
                        WHERE ($1 OR user_id = $2 OR client_id = $3 OR team_id = ANY($4))
                            AND ($5::text IS NULL OR event_type = $5) AND ($6::uuid IS NULL OR team_id = $6)
                            AND ($7::uuid IS NULL OR runner_id = $7) AND ($8::text IS NULL OR user_identity = $8)
                            AND ($9::bool IS NULL OR success = $9)
                            AND ($10::timestamptz IS NULL OR "timestamp" >= $10) AND ($11::uuid IS NULL OR id >= $11)
                            AND ($12::uuid IS NULL OR id < $12)
                        ORDER BY id DESC LIMIT $13 OFFSET $14)) page) sized
                WHERE before < $15)
             ORDER BY id DESC"#,
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
            filter.event_type,
            team,
            runner,
            filter.identity,
            filter.success,
            filter.since,
            first_id(filter.since),
            page.before,
            page.limit,
            page.offset,
            MAX_PAGE_BYTES,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns one page of security events.
    pub async fn alarms(&mut self, filter: &SecurityFilter, page: Page) -> Result<Listed<SecurityRow>> {
        let (severity, team) = (filter.severity.map(Severity::as_str), filter.team.map(Uuid::from));
        let items = sqlx::query_as!(
            SecurityRow,
            r#"SELECT id, event_type, severity, user_identity, runner_id, runner_name, team_id, violation_data,
                action_taken, "timestamp", occurrences, last_at
             FROM security_events
             WHERE id IN (SELECT id FROM (
                SELECT id, sum(size) OVER (ORDER BY id DESC) - size AS before FROM (
                    SELECT id, 1000 + coalesce(octet_length(violation_data::text), 0) AS size FROM security_events
                    WHERE id IN (SELECT id FROM security_events
                        WHERE ($1::text IS NULL OR event_type = $1) AND ($2::text IS NULL OR severity = $2)
                            AND ($3::uuid IS NULL OR team_id = $3) AND ($4::uuid IS NULL OR id < $4)
                            AND ($8::text IS NULL OR user_identity = $8)
                        ORDER BY id DESC LIMIT $5 OFFSET $6)) page) sized
                WHERE before < $7)
             ORDER BY id DESC"#,
            filter.event_type,
            severity,
            team,
            page.before,
            page.limit,
            page.offset,
            MAX_PAGE_BYTES,
            filter.identity,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let counted = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM (SELECT FROM security_events
             WHERE ($1::text IS NULL OR event_type = $1) AND ($2::text IS NULL OR severity = $2)
                AND ($3::uuid IS NULL OR team_id = $3) AND ($5::text IS NULL OR user_identity = $5)
             LIMIT $4) counted"#,
            filter.event_type,
            severity,
            team,
            MAX_TOTAL + 1,
            filter.identity,
        )
        .fetch_one(&mut *self.0)
        .await?;
        let bytes = items.iter().map(SecurityRow::weight).sum();
        let next = page.next(items.len(), bytes, items.last().map(|last| last.id));
        Ok(Listed::bounded(items, counted, next))
    }
}

/// Returns the size of a row in bytes, as pages are measured: its details plus a fixed 1,000.
fn weight(details: Option<&Value>) -> usize {
    1000 + details.map_or(0, |details| details.to_string().len())
}

impl AuditRow {
    fn weight(&self) -> usize {
        weight(self.event_data.as_ref())
    }
}

impl SecurityRow {
    fn weight(&self) -> usize {
        weight(self.violation_data.as_ref())
    }
}
