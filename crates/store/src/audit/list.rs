//! Lists of audit rows and of security events.

use chrono::{DateTime, Utc};
use domain::{RunnerId, Severity, TeamId};
use serde_json::Value;
use sqlx::{query_as, query_scalar};
use uuid::Uuid;

use super::{Audit, AuditRow, SecurityRow};
use crate::{
    Listed, MAX_TOTAL, Page, Result, Visible,
    page::{MAX_PAGE_BYTES, first_id, visible_ids},
};

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

macro_rules! visible_audit {
    ($query:ident($($first:tt)*), $order:tt, $tail:tt $(, $arg:expr)* $(,)?) => {
        visible_ids!(
            $query($($first)*),
            "audit_log",
            "user_id = $2 OR client_id = $3",
            "($7::uuid IS NOT NULL OR $8::text IS NOT NULL OR NOT coalesce($9::bool, true))",
            "($5::text IS NULL OR event_type = $5) AND ($6::uuid IS NULL OR team_id = $6)
                AND ($7::uuid IS NULL OR runner_id = $7) AND ($8::text IS NULL OR user_identity = $8)
                AND ($9::bool IS NULL OR success = $9)
                AND ($10::timestamptz IS NULL OR \"timestamp\" >= $10) AND ($11::uuid IS NULL OR id >= $11)
                AND ($12::uuid IS NULL OR id < $12)",
            ($order, "$13", "$14"),
            $tail
            $(, $arg)*
        )
    };
}

impl Audit<'_> {
    /// Returns the audit rows the caller may see: all, their own, or their teams'.
    pub async fn list(
        &mut self,
        visible: &Visible,
        filter: &AuditFilter,
        page: Page,
    ) -> Result<Listed<AuditRow>> {
        let items = self.rows(visible, filter, page).await?;
        let (team, runner) = (filter.team.map(Uuid::from), filter.runner.map(Uuid::from));
        let counted = visible_audit!(
            query_scalar(r#"SELECT count(*) AS "n!" FROM ("# +),
            "",
            ") counted",
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
            None::<Uuid>,
            MAX_TOTAL + 1,
            0,
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
        Ok(visible_audit!(
            query_as(
                AuditRow,
                r#"SELECT id, event_type, user_identity, runner_id, runner_name, team_id,
                (SELECT name FROM teams WHERE teams.id = team_id) AS "team_name?", job_id, request_ip, user_agent,
                request_id, event_data, success, error_message, "timestamp", occurrences, last_at
             FROM audit_log
             WHERE id IN (SELECT id FROM (
                SELECT id, sum(size) OVER (ORDER BY id DESC) - size AS before FROM (
                    SELECT id, 1000 + coalesce(octet_length(event_data::text), 0) AS size FROM audit_log
                    WHERE id IN ("# +
            ),
            " ORDER BY id DESC",
            ")) page) sized
                WHERE before < $15)
             ORDER BY id DESC",
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
