//! Lists of the jobs that a caller may see.

use domain::{Job, JobKind, JobState, TeamId};
use sqlx::query_scalar;
use uuid::Uuid;

use super::{JobRow, Jobs, job_rows};
use crate::{
    HistorySearch, Listed, NamedRequesters, Page, Period, Result, Visible, page::visible_ids,
    readable::readable,
};

/// Filter of a list of jobs.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only jobs in this state.
    pub state: Option<JobState>,
    /// Only jobs of this kind.
    pub kind: Option<JobKind>,
    /// Only jobs of this team.
    pub team: Option<TeamId>,
    /// Only jobs of these requesters.
    pub requesters: Option<NamedRequesters>,
    /// Only jobs that this search finds.
    pub search: Option<HistorySearch>,
    /// Only jobs accepted in this period.
    pub period: Period,
    /// Only jobs that ended with this problem code.
    pub error: Option<String>,
    /// Only jobs about these runners.
    pub runners: Option<Vec<Uuid>>,
    /// Only jobs that this worker started last.
    pub worker: Option<String>,
    /// Only jobs of this installation.
    pub installation: Option<String>,
}

/// Calls a query macro with one page of the jobs that a caller may see and that fit the filter.
macro_rules! visible_jobs {
    ($query:ident($($first:tt)*), $order:tt, $tail:tt,
        ($visible:expr, $filter:expr, $page:expr, $by:expr, $search:expr)) => {
        visible_ids!(
            $query($($first)*),
            "jobs",
            "requester_user = $2 OR requester_client = $3",
            "$19",
            "($5::text IS NULL OR state = $5) AND ($6::text IS NULL OR kind = $6)
                AND ($7::uuid IS NULL OR team_id = $7) AND ($8::uuid IS NULL OR id < $8)
                AND ($11 = false OR requester_user = ANY($12) OR requester_client = ANY($13))
                AND ($14::timestamptz IS NULL OR created_at >= $14) AND ($15::uuid IS NULL OR id >= $15)
                AND ($16::timestamptz IS NULL OR created_at <= $16) AND ($17::uuid IS NULL OR id <= $17)
                AND ($18::text IS NULL OR error ->> 'code' = $18)
                AND ($19 = false OR runner_id = ANY($20) OR requester_user = ANY($21) OR requester_client = ANY($22)
                    OR id = $23 OR (state IN ('failed', 'expired') AND error ->> 'code' = $24))
                AND ($25::uuid[] IS NULL OR runner_id = ANY($25)) AND ($26::text IS NULL OR started_by = $26)
                AND ($27::text IS NULL OR installation = $27)",
            ($order, "$9", "$10"),
            $tail,
            $visible.all,
            $visible.user,
            $visible.client,
            &$visible.teams,
            $filter.state.map(JobState::as_str),
            $filter.kind.map(JobKind::as_str),
            $filter.team.map(TeamId::uuid),
            $page.before,
            $page.limit,
            $page.offset,
            $filter.requesters.is_some(),
            &$by.users,
            &$by.clients,
            $filter.period.since,
            $filter.period.first_id(),
            $filter.period.until,
            $filter.period.last_id(),
            $filter.error,
            $filter.search.is_some(),
            &$search.runners,
            &$search.requesters.users,
            &$search.requesters.clients,
            $search.id,
            $search.text,
            $filter.runners.as_deref(),
            $filter.worker,
            $filter.installation,
        )
    };
}

impl JobFilter {
    /// Returns the requesters and the search; empty ones are not looked at.
    fn named(&self) -> (NamedRequesters, HistorySearch) {
        (self.requesters.clone().unwrap_or_default(), self.search.clone().unwrap_or_default())
    }
}

impl Jobs<'_> {
    /// Returns one page of the jobs the caller may see.
    pub async fn list(&mut self, visible: &Visible, filter: &JobFilter, page: Page) -> Result<Listed<Job>> {
        let (by, search) = filter.named();
        let rows = visible_jobs!(
            job_rows("SELECT", "FROM jobs WHERE id IN (" +),
            // As for the audit log: the rows of named runners and requesters are found by them and sorted.
            " ORDER BY CASE WHEN $25::uuid[] IS NOT NULL OR $19 AND cardinality($20) + cardinality($21) + cardinality($22) > 0
                THEN id::text END COLLATE \"C\" DESC, id DESC",
            ") ORDER BY id DESC",
            (visible, filter, page, by, search)
        )
        .fetch_all(&mut *self.0)
        .await?;
        let counted = visible_jobs!(
            query_scalar(r#"SELECT count(*) AS "n!" FROM ("# +),
            "",
            ") counted",
            (visible, filter, Page::COUNTED, by, search)
        )
        .fetch_one(&mut *self.0)
        .await?;
        let next = page.next(rows.len(), 0, rows.last().map(|last| last.id));
        Ok(Listed::bounded(readable(rows), counted, next))
    }
}
