//! Lists of the runners that a caller may see.

use domain::{Runner, RunnerStatus, TeamId, UserId};
use sqlx::query_scalar;
use uuid::Uuid;

use super::{RunnerRow, Runners, runner_rows};
use crate::{
    Listed, MAX_TOTAL, Page, Result, Visible,
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
}

impl RunnerRow {
    /// Returns the size of a row in bytes, as pages are measured: its quoted labels plus a fixed 1,000.
    fn weight(&self) -> usize {
        1000 + self.labels.iter().map(|label| label.len() + 3).sum::<usize>()
    }
}

macro_rules! visible_runners {
    ($query:ident($($first:tt)*), $order:tt, $tail:tt $(, $arg:expr)* $(,)?) => {
        visible_ids!(
            $query($($first)*),
            "runners",
            "owner_user = $2 OR owner_client = $3",
            "NOT coalesce($6::bool, true)",
            "CASE WHEN $5::text IS NULL THEN status <> 'deleted' ELSE status = $5 END
                AND ($6::bool IS NULL OR ephemeral = $6) AND ($7::uuid IS NULL OR team_id = $7)
                AND ($8::uuid IS NULL OR owner_user = $8) AND ($9::uuid IS NULL OR id < $9)",
            ($order, "$10", "$11"),
            $tail
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
        let status = filter.status.map(RunnerStatus::as_str);
        let (team, user) = (filter.team.map(TeamId::uuid), filter.user.map(UserId::uuid));
        let rows = visible_runners!(
            runner_rows(
                "WHERE runners.id IN (SELECT id FROM (
                SELECT id, sum(size) OVER (ORDER BY id DESC) - size AS before FROM (
                    SELECT id, 1000 + octet_length(labels::text) AS size FROM runners
                    WHERE id IN (" +
            ),
            " ORDER BY id DESC",
            ")) page) sized
                WHERE before < $12)
             ORDER BY runners.id DESC",
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
            status,
            filter.ephemeral,
            team,
            user,
            page.before,
            page.limit,
            page.offset,
            MAX_PAGE_BYTES,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let counted = visible_runners!(
            query_scalar(r#"SELECT count(*) AS "n!" FROM ("# +),
            "",
            ") counted",
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
            status,
            filter.ephemeral,
            team,
            user,
            None::<Uuid>,
            MAX_TOTAL + 1,
            0,
        )
        .fetch_one(&mut *self.0)
        .await?;
        let bytes = rows.iter().map(RunnerRow::weight).sum();
        let next = page.next(rows.len(), bytes, rows.last().map(|last| last.id));
        Ok(Listed::bounded(readable(rows), counted, next))
    }
}
