//! Audit rows and security events by their ids.

use chrono::TimeDelta;
use domain::Requester;
use uuid::Uuid;

use super::{Audit, AuditRow, SecurityRow};
use crate::{Result, jobs::seconds, page::owner_columns};

/// Newest rows of one requester that are looked at.
const NEWEST: i64 = 20;

impl Audit<'_> {
    /// Returns whether one of a requester's newest 20 rows was written within this time, by the database's clock.
    pub async fn has_recent(&mut self, requester: Requester, within: TimeDelta) -> Result<bool> {
        let (user, client) = owner_columns(Some(requester));
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM (
                (SELECT "timestamp" AS at FROM audit_log WHERE user_id = $1 ORDER BY id DESC LIMIT $4)
                UNION ALL
                (SELECT "timestamp" FROM audit_log WHERE client_id = $2 ORDER BY id DESC LIMIT $4)
             ) newest WHERE at > now() - make_interval(secs => $3)) AS "recent!""#,
            user,
            client,
            seconds(within),
            NEWEST,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Returns the audit rows with these ids, in no order. Rows that were removed are missing.
    pub async fn audit_rows(&mut self, ids: &[Uuid]) -> Result<Vec<AuditRow>> {
        Ok(sqlx::query_as!(
            AuditRow,
            r#"SELECT id, event_type, user_identity, oidc_sub, runner_id, runner_name, team_id,
                (SELECT name FROM teams WHERE teams.id = team_id) AS "team_name?", job_id, request_ip, user_agent,
                request_id, event_data, success, error_message, "timestamp", occurrences, last_at
             FROM audit_log WHERE id = ANY($1)"#,
            ids,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns the security events with these ids, in no order. Events that were removed are missing.
    pub async fn security_rows(&mut self, ids: &[Uuid]) -> Result<Vec<SecurityRow>> {
        Ok(sqlx::query_as!(
            SecurityRow,
            r#"SELECT id, event_type, severity, user_identity, runner_id, runner_name, team_id, violation_data,
                action_taken, "timestamp", occurrences, last_at, acknowledged_at, acknowledged_by, acknowledgement
             FROM security_events WHERE id = ANY($1)"#,
            ids,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}
