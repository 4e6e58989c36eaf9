//! Lists of the runners that a caller may see.

use domain::{Runner, RunnerStatus, TeamId, UserId};
use sqlx::query_scalar;

use super::{RunnerRow, Runners, runner_rows};
use crate::{
    Listed, NamedRequesters, Page, Period, Result, RunnerSearch, Visible,
    page::{MAX_PAGE_BYTES, visible_ids},
    readable::readable,
};

/// Filter of a list of runners.
#[derive(Clone, Debug, Default)]
pub struct RunnerFilter {
    /// Only runners in this state; `None` leaves out deleted ones.
    pub status: Option<RunnerStatus>,
    /// `true` for ephemeral runners only, `false` for others only.
    pub ephemeral: Option<bool>,
    /// Only runners of this team.
    pub team: Option<TeamId>,
    /// Only runners requested by this user.
    pub user: Option<UserId>,
    /// Only runners of these requesters.
    pub requesters: Option<NamedRequesters>,
    /// Only runners that this search finds.
    pub search: Option<RunnerSearch>,
    /// Only runners requested in this period.
    pub period: Period,
}

impl RunnerRow {
    /// Returns the size of a row in bytes, as pages are measured: its quoted labels plus a fixed 1,000.
    fn weight(&self) -> usize {
        1000 + self.labels.iter().map(|label| label.len() + 3).sum::<usize>()
    }
}

/// Calls a query macro with one page of the runners that a caller may see and that fit the filter.
macro_rules! visible_runners {
    ($query:ident($($first:tt)*), $order:tt, $tail:tt,
        ($visible:expr, $filter:expr, $page:expr, $by:expr, $search:expr) $(, $arg:expr)* $(,)?) => {
        visible_ids!(
            $query($($first)*),
            "runners",
            "owner_user = $2 OR owner_client = $3",
            "NOT coalesce($6::bool, true)",
            "CASE WHEN $5::text IS NULL THEN status <> 'deleted' ELSE status = $5 END
                AND ($6::bool IS NULL OR ephemeral = $6) AND ($7::uuid IS NULL OR team_id = $7)
                AND ($8::uuid IS NULL OR owner_user = $8) AND ($9::uuid IS NULL OR id < $9)
                AND ($12 = false OR owner_user = ANY($13) OR owner_client = ANY($14))
                AND ($15::text IS NULL OR lower(name) LIKE $15 OR folded_labels(labels) @> ARRAY[$16::text]
                    OR owner_user = ANY($17) OR owner_client = ANY($18))
                AND ($19::timestamptz IS NULL OR created_at >= $19) AND ($20::uuid IS NULL OR id >= $20)
                AND ($21::timestamptz IS NULL OR created_at <= $21) AND ($22::uuid IS NULL OR id <= $22)",
            ($order, "$10", "$11"),
            $tail,
            $visible.all,
            $visible.user,
            $visible.client,
            &$visible.teams,
            $filter.status.map(RunnerStatus::as_str),
            $filter.ephemeral,
            $filter.team.map(TeamId::uuid),
            $filter.user.map(UserId::uuid),
            $page.before,
            $page.limit,
            $page.offset,
            $filter.requesters.is_some(),
            &$by.users,
            &$by.clients,
            $search.name_pattern,
            $search.label,
            &$search.requesters.users,
            &$search.requesters.clients,
            $filter.period.since,
            $filter.period.first_id(),
            $filter.period.until,
            $filter.period.last_id()
            $(, $arg)*
        )
    };
}

impl Runners<'_> {
    /// Returns one page of the runners the caller may see. A page ends early when its rows are large.
    pub async fn list(
        &mut self,
        visible: &Visible,
        filter: &RunnerFilter,
        page: Page,
    ) -> Result<Listed<Runner>> {
        let (by, search) =
            (filter.requesters.clone().unwrap_or_default(), filter.search.clone().unwrap_or_default());
        let rows = visible_runners!(
            runner_rows(
                "WHERE runners.id IN (SELECT id FROM (
                SELECT id, sum(size) OVER (ORDER BY id DESC) - size AS before FROM (
                    SELECT id, 1000 + octet_length(labels::text) AS size FROM runners
                    WHERE id IN (" +
            ),
            " ORDER BY id DESC",
            ")) page) sized
                WHERE before < $23)
             ORDER BY runners.id DESC",
            (visible, filter, page, by, search),
            MAX_PAGE_BYTES,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let counted = visible_runners!(
            query_scalar(r#"SELECT count(*) AS "n!" FROM ("# +),
            "",
            ") counted",
            (visible, filter, Page::COUNTED, by, search),
        )
        .fetch_one(&mut *self.0)
        .await?;
        let bytes = rows.iter().map(RunnerRow::weight).sum();
        let next = page.next(rows.len(), bytes, rows.last().map(|last| last.id));
        Ok(Listed::bounded(readable(rows), counted, next))
    }
}
