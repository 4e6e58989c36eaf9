//! Lists of security events.

use chrono::{DateTime, Utc};
use domain::{Severity, TeamId};
use serde_json::Value;
use uuid::Uuid;

use super::{Audit, list::weight};
use crate::{HistorySearch, Listed, MAX_TOTAL, Page, Period, Result, page::MAX_PAGE_BYTES};

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
    /// Only events that this search finds.
    pub search: Option<HistorySearch>,
    /// Only events in this period.
    pub period: Period,
    /// `true` for acknowledged events only, `false` for the others only.
    pub acknowledged: Option<bool>,
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
    /// Time at which an admin acknowledged the event.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// Identity of that admin.
    pub acknowledged_by: Option<String>,
    /// Note of that admin.
    pub acknowledgement: Option<String>,
}

impl Audit<'_> {
    /// Returns one page of security events.
    pub async fn alarms(&mut self, filter: &SecurityFilter, page: Page) -> Result<Listed<SecurityRow>> {
        let (severity, team) = (filter.severity.map(Severity::as_str), filter.team.map(Uuid::from));
        let search = filter.search.clone().unwrap_or_default();
        let items = sqlx::query_as!(
            SecurityRow,
            r#"SELECT id, event_type, severity, user_identity, runner_id, runner_name, team_id, violation_data,
                action_taken, "timestamp", occurrences, last_at, acknowledged_at, acknowledged_by, acknowledgement
             FROM security_events
             WHERE id IN (SELECT id FROM (
                SELECT id, sum(size) OVER (ORDER BY id DESC) - size AS before FROM (
                    SELECT id, 1000 + coalesce(octet_length(violation_data::text), 0) AS size FROM security_events
                    WHERE id IN (SELECT id FROM security_events
                        WHERE ($1::text IS NULL OR event_type = $1) AND ($2::text IS NULL OR severity = $2)
                            AND ($3::uuid IS NULL OR team_id = $3) AND ($4::uuid IS NULL OR id < $4)
                            AND ($8::text IS NULL OR user_identity = $8)
                            AND ($9::timestamptz IS NULL OR "timestamp" >= $9) AND ($10::uuid IS NULL OR id >= $10)
                            AND ($11::timestamptz IS NULL OR "timestamp" <= $11) AND ($12::uuid IS NULL OR id <= $12)
                            AND ($13::bool IS NULL OR (acknowledged_at IS NOT NULL) = $13)
                            AND ($14 = false OR runner_id = ANY($15) OR user_identity = ANY($16) OR id = $17
                                OR event_type = $18)
                        ORDER BY CASE WHEN $14 AND cardinality($15) + cardinality($16) > 0 THEN id::text END
                            COLLATE "C" DESC, id DESC
                        LIMIT $5 OFFSET $6)) page) sized
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
            filter.period.since,
            filter.period.first_id(),
            filter.period.until,
            filter.period.last_id(),
            filter.acknowledged,
            filter.search.is_some(),
            &search.runners,
            &search.identities,
            search.id,
            search.text,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let counted = self.count_alarms(filter).await?;
        let bytes = items.iter().map(SecurityRow::weight).sum();
        let next = page.next(items.len(), bytes, items.last().map(|last| last.id));
        Ok(Listed::bounded(items, counted, next))
    }

    /// Counts the security events of a list, up to one more than [`MAX_TOTAL`].
    async fn count_alarms(&mut self, filter: &SecurityFilter) -> Result<i64> {
        let (severity, team) = (filter.severity.map(Severity::as_str), filter.team.map(Uuid::from));
        let search = filter.search.clone().unwrap_or_default();
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM (SELECT FROM security_events
             WHERE ($1::text IS NULL OR event_type = $1) AND ($2::text IS NULL OR severity = $2)
                AND ($3::uuid IS NULL OR team_id = $3) AND ($5::text IS NULL OR user_identity = $5)
                AND ($6::timestamptz IS NULL OR "timestamp" >= $6) AND ($7::uuid IS NULL OR id >= $7)
                AND ($8::timestamptz IS NULL OR "timestamp" <= $8) AND ($9::uuid IS NULL OR id <= $9)
                AND ($10::bool IS NULL OR (acknowledged_at IS NOT NULL) = $10)
                AND ($11 = false OR runner_id = ANY($12) OR user_identity = ANY($13) OR id = $14 OR event_type = $15)
             LIMIT $4) counted"#,
            filter.event_type,
            severity,
            team,
            MAX_TOTAL + 1,
            filter.identity,
            filter.period.since,
            filter.period.first_id(),
            filter.period.until,
            filter.period.last_id(),
            filter.acknowledged,
            filter.search.is_some(),
            &search.runners,
            &search.identities,
            search.id,
            search.text,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }
}

impl SecurityRow {
    fn weight(&self) -> usize {
        weight(self.violation_data.as_ref())
    }
}
