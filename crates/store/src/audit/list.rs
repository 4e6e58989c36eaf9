//! Lists of the audit rows that a caller may see.

use domain::{RunnerId, TeamId};
use serde_json::Value;
use sqlx::{query_as, query_scalar};
use uuid::Uuid;

use super::{Audit, AuditRow};
use crate::{
    HistorySearch, Listed, Page, Period, Result, Visible,
    page::{MAX_PAGE_BYTES, visible_ids},
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
    /// Only rows that this search finds.
    pub search: Option<HistorySearch>,
    /// Only rows in this period.
    pub period: Period,
}

/// Calls a query macro with one page of the audit rows that a caller may see and that fit the filter.
macro_rules! visible_audit {
    ($query:ident($($first:tt)*), $order:tt, $tail:tt, ($visible:expr, $filter:expr, $page:expr, $search:expr)
        $(, $arg:expr)* $(,)?) => {
        visible_ids!(
            $query($($first)*),
            "audit_log",
            "user_id = $2 OR client_id = $3",
            "($7::uuid IS NOT NULL OR $8::text IS NOT NULL OR NOT coalesce($9::bool, true) OR $17)",
            "($5::text IS NULL OR event_type = $5) AND ($6::uuid IS NULL OR team_id = $6)
                AND ($7::uuid IS NULL OR runner_id = $7) AND ($8::text IS NULL OR user_identity = $8)
                AND ($9::bool IS NULL OR success = $9)
                AND ($10::timestamptz IS NULL OR \"timestamp\" >= $10) AND ($11::uuid IS NULL OR id >= $11)
                AND ($12::uuid IS NULL OR id < $12)
                AND ($15::timestamptz IS NULL OR \"timestamp\" <= $15) AND ($16::uuid IS NULL OR id <= $16)
                AND ($17 = false OR runner_id = ANY($18) OR user_id = ANY($19) OR client_id = ANY($20) OR id = $21
                    OR event_type = $22)",
            ($order, "$13", "$14"),
            $tail,
            $visible.all,
            $visible.user,
            $visible.client,
            &$visible.teams,
            $filter.event_type,
            $filter.team.map(Uuid::from),
            $filter.runner.map(Uuid::from),
            $filter.identity,
            $filter.success,
            $filter.period.since,
            $filter.period.first_id(),
            $page.before,
            $page.limit,
            $page.offset,
            $filter.period.until,
            $filter.period.last_id(),
            $filter.search.is_some(),
            &$search.runners,
            &$search.requesters.users,
            &$search.requesters.clients,
            $search.id,
            $search.text
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
        let search = filter.search.clone().unwrap_or_default();
        let counted = visible_audit!(
            query_scalar(r#"SELECT count(*) AS "n!" FROM ("# +),
            "",
            ") counted",
            (visible, filter, Page::COUNTED, search)
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
        let search = filter.search.clone().unwrap_or_default();
        Ok(visible_audit!(
            query_as(
                AuditRow,
                r#"SELECT id, event_type, user_identity, oidc_sub, runner_id, runner_name, team_id,
                (SELECT name FROM teams WHERE teams.id = team_id) AS "team_name?", job_id, request_ip, user_agent,
                request_id, event_data, success, error_message, "timestamp", occurrences, last_at
             FROM audit_log
             WHERE id IN (SELECT id FROM (
                SELECT id, sum(size) OVER (ORDER BY id DESC) - size AS before FROM (
                    SELECT id, 1000 + coalesce(octet_length(event_data::text), 0) AS size FROM audit_log
                    WHERE id IN ("# +
            ),
            // Of a search that names runners or requesters, the rows are found by them and sorted. Read backwards, the
            // log would be read until it reaches the rows of an old runner.
            " ORDER BY CASE WHEN $17 AND cardinality($18) + cardinality($19) + cardinality($20) > 0 THEN id::text END
                COLLATE \"C\" DESC, id DESC",
            ")) page) sized
                WHERE before < $23)
             ORDER BY id DESC",
            (visible, filter, page, search),
            MAX_PAGE_BYTES,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}

/// Returns the size of a row in bytes, as pages are measured: its details plus a fixed 1,000.
pub(super) fn weight(details: Option<&Value>) -> usize {
    1000 + details.map_or(0, |details| details.to_string().len())
}

impl AuditRow {
    fn weight(&self) -> usize {
        weight(self.event_data.as_ref())
    }
}
