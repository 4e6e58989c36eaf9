//! Runners.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    InstallationId, Requester, Runner, RunnerId, RunnerName, RunnerStatus, RunnerVersion, Source,
    StatusChange, TeamId, UserId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Listed, MAX_TOTAL, Page, Result, StoreError, Visible,
    jobs::seconds,
    page::{MAX_PAGE_BYTES, owner_columns},
    readable::readable,
    sync,
};

/// The runners, on one connection.
#[derive(Debug)]
pub struct Runners<'c>(pub(crate) &'c mut PgConnection);

/// A runner about to be asked for.
#[derive(Clone, Debug)]
pub struct NewRunner {
    /// Its id.
    pub id: RunnerId,
    /// Where it will live.
    pub installation: InstallationId,
    /// Its team.
    pub team: TeamId,
    /// Who asks.
    pub owner: Requester,
    /// Its name.
    pub name: RunnerName,
    /// Its runner group.
    pub runner_group_id: i64,
    /// Its labels.
    pub labels: Vec<String>,
    /// Takes one workflow job and is gone.
    pub ephemeral: bool,
    /// It registers itself, with a token.
    pub registers_itself: bool,
    /// The runner software, as the caller stated it.
    pub stated_version: Option<RunnerVersion>,
}

/// Which runners to list.
#[derive(Clone, Debug, Default)]
pub struct RunnerFilter {
    /// Only in this state; without it, deleted ones are left out.
    pub status: Option<RunnerStatus>,
    /// Only ephemeral ones, or only others.
    pub ephemeral: Option<bool>,
    /// Only of this team.
    pub team: Option<TeamId>,
    /// Only asked for by this person.
    pub user: Option<UserId>,
}

/// One change of a runner's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionRow {
    /// When.
    pub at: DateTime<Utc>,
    /// From where; none for the first.
    pub from_status: Option<String>,
    /// To where.
    pub to_status: String,
    /// By whom it was noticed or made.
    pub source: String,
    /// Why.
    pub detail: Option<String>,
}

struct RunnerRow {
    id: Uuid,
    installation: String,
    team_id: Uuid,
    team_name: String,
    owner_user: Option<Uuid>,
    owner_client: Option<Uuid>,
    owner_identity: Option<String>,
    name: String,
    status: String,
    busy: bool,
    github_runner_id: Option<i64>,
    runner_group_id: i64,
    runner_group_name: Option<String>,
    labels: Vec<String>,
    ephemeral: bool,
    registers_itself: bool,
    stated_version: Option<String>,
    version: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    registered_at: Option<DateTime<Utc>>,
    deleted_at: Option<DateTime<Utc>>,
}

impl RunnerRow {
    /// Bytes of a row as a page is measured: those of its labels, quoted, and a round figure for the rest.
    fn weight(&self) -> usize {
        1000 + self.labels.iter().map(|label| label.len() + 3).sum::<usize>()
    }
}

impl TryFrom<RunnerRow> for Runner {
    type Error = StoreError;

    fn try_from(row: RunnerRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            installation: row.installation.parse().map_err(StoreError::inconsistent)?,
            team: row.team_id.into(),
            team_name: row.team_name,
            provisioned_by: Requester::from_columns(
                row.owner_user.map(Into::into),
                row.owner_client.map(Into::into),
            )
            .ok_or_else(|| StoreError::inconsistent("a runner without an owner"))?,
            provisioned_by_name: row.owner_identity,
            name: row.name,
            status: row.status.parse().map_err(StoreError::inconsistent)?,
            busy: row.busy,
            github_runner_id: row.github_runner_id,
            runner_group_id: row.runner_group_id,
            runner_group_name: row.runner_group_name,
            labels: row.labels,
            ephemeral: row.ephemeral,
            registers_itself: row.registers_itself,
            stated_version: row.stated_version,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            registered_at: row.registered_at,
            deleted_at: row.deleted_at,
        })
    }
}

macro_rules! runner_rows {
    ($tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            RunnerRow,
            r#"SELECT runners.id, runners.installation, runners.team_id, teams.name AS team_name, runners.owner_user,
                runners.owner_client,
                coalesce(users.email, users.display_name, users.subject, oauth_clients.client_id) AS owner_identity,
                runners.name, runners.status, runners.busy, runners.github_runner_id, runners.runner_group_id, runners.runner_group_name,
                runners.labels, runners.ephemeral, runners.registers_itself, runners.stated_version,
                runners.version, runners.created_at, runners.updated_at, runners.registered_at,
                runners.deleted_at
             FROM runners JOIN teams ON teams.id = runners.team_id
                LEFT JOIN users ON users.id = runners.owner_user
                LEFT JOIN oauth_clients ON oauth_clients.id = runners.owner_client "# + $tail
            $(, $arg)*
        )
    };
}

impl Runners<'_> {
    /// Adds a runner, `requested`.
    ///
    /// # Errors
    /// `Conflict` by `runners_name_key` when a live runner bears the name.
    pub async fn insert(&mut self, runner: &NewRunner) -> Result<()> {
        let (user, client) = owner_columns(Some(runner.owner));
        sqlx::query!(
            "WITH made AS (
                INSERT INTO runners (id, installation, team_id, owner_user, owner_client, name, status,
                    runner_group_id, labels, ephemeral, registers_itself, stated_version)
                VALUES ($1, $2, $3, $4, $5, $6, 'requested', $7, $8, $9, $10, $11) RETURNING id
             )
             INSERT INTO runner_events (runner_id, to_status, source) SELECT id, 'requested', 'api' FROM made",
            runner.id.uuid(),
            runner.installation.as_str(),
            runner.team.uuid(),
            user,
            client,
            runner.name.as_str(),
            runner.runner_group_id,
            &runner.labels,
            runner.ephemeral,
            runner.registers_itself,
            runner.stated_version.as_ref().map(RunnerVersion::as_str),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// The runner, if there is one.
    pub async fn get(&mut self, id: RunnerId) -> Result<Option<Runner>> {
        let row = runner_rows!("WHERE runners.id = $1", id.uuid()).fetch_optional(&mut *self.0).await?;
        row.map(Runner::try_from).transpose()
    }

    /// Runners the caller may see.
    pub async fn list(
        &mut self,
        visible: &Visible,
        filter: &RunnerFilter,
        page: Page,
    ) -> Result<Listed<Runner>> {
        let status = filter.status.map(RunnerStatus::as_str);
        let (team, user) = (filter.team.map(TeamId::uuid), filter.user.map(UserId::uuid));
        let rows = runner_rows!(
            "WHERE runners.id IN (SELECT id FROM (
                SELECT id, sum(size) OVER (ORDER BY id DESC) - size AS before FROM (
                    SELECT id, 1000 + octet_length(labels::text) AS size FROM runners
                    WHERE id IN (SELECT id FROM runners
                        WHERE ($1 OR owner_user = $2 OR owner_client = $3 OR team_id = ANY($4))
                            AND CASE WHEN $5::text IS NULL THEN status <> 'deleted' ELSE status = $5 END
                            AND ($6::bool IS NULL OR ephemeral = $6) AND ($7::uuid IS NULL OR team_id = $7)
                            AND ($8::uuid IS NULL OR owner_user = $8) AND ($9::uuid IS NULL OR id < $9)
                        ORDER BY id DESC LIMIT $10 OFFSET $11)) page) sized
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
        let counted = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM (SELECT FROM runners
             WHERE ($1 OR owner_user = $2 OR owner_client = $3 OR team_id = ANY($4))
                AND CASE WHEN $5::text IS NULL THEN status <> 'deleted' ELSE status = $5 END
                AND ($6::bool IS NULL OR ephemeral = $6) AND ($7::uuid IS NULL OR team_id = $7)
                AND ($8::uuid IS NULL OR owner_user = $8) LIMIT $9) counted"#,
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
            status,
            filter.ephemeral,
            team,
            user,
            MAX_TOTAL + 1,
        )
        .fetch_one(&mut *self.0)
        .await?;
        let bytes = rows.iter().map(RunnerRow::weight).sum();
        let next = page.next(rows.len(), bytes, rows.last().map(|last| last.id));
        Ok(Listed::bounded(readable(rows), counted, next))
    }

    /// How many runners of the team are not deleted.
    pub async fn count_live(&mut self, team: TeamId) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM runners WHERE team_id = $1 AND status <> 'deleted'"#,
            team.uuid()
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Gives a runner that is still `requested` the name of its next try. False: it is no longer `requested`.
    ///
    /// # Errors
    /// `Conflict` by `runners_name_key`.
    pub async fn rename(&mut self, id: RunnerId, name: &RunnerName) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE runners SET name = $2, updated_at = now() WHERE id = $1 AND status = 'requested'",
            id.uuid(),
            name.as_str(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// `requested → pending`: GitHub made it under this id. False: it was no longer `requested`.
    pub async fn register(&mut self, id: RunnerId, github_runner_id: i64) -> Result<bool> {
        let done = sqlx::query!(
            "WITH moved AS (
                UPDATE runners SET status = 'pending', github_runner_id = $2, registered_at = now(), updated_at = now()
                WHERE id = $1 AND status = 'requested' RETURNING id
             )
             INSERT INTO runner_events (runner_id, from_status, to_status, source)
             SELECT id, 'requested', 'pending', 'job' FROM moved",
            id.uuid(),
            github_runner_id,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// `requested → pending`: there is a token with which it may register itself, and it is told this group unless that is
    /// the default one. False: it was no longer `requested`.
    pub async fn await_registration(&mut self, id: RunnerId, group: Option<&str>) -> Result<bool> {
        let done = sqlx::query!(
            "WITH moved AS (
                UPDATE runners SET status = 'pending', runner_group_name = $2, registered_at = now(),
                    updated_at = now()
                WHERE id = $1 AND status = 'requested' AND registers_itself RETURNING id
             )
             INSERT INTO runner_events (runner_id, from_status, to_status, source)
             SELECT id, 'requested', 'pending', 'job' FROM moved",
            id.uuid(),
            group,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// `→ deleted`: on proof that it is gone, or because it never came to be; `detail` says which. What is left of its
    /// config is emptied. False: it was deleted already.
    pub async fn mark_deleted(&mut self, id: RunnerId, source: Source, detail: &str) -> Result<bool> {
        self.change_status(&StatusChange::deleted(id, detail), source).await
    }

    /// Moves a runner, if it still stands where the shift begins, and tells its trail. False: it does not.
    pub async fn change_status(&mut self, change: &StatusChange, source: Source) -> Result<bool> {
        Ok(!sync::shift(self.0, std::slice::from_ref(change), source, None).await?.is_empty())
    }

    /// Remembers the deviation that is told now; none: there is none any more. False: it was told before.
    pub async fn record_drift(&mut self, id: RunnerId, fingerprint: Option<&str>) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE runners SET drift_seen = $2 WHERE id = $1 AND drift_seen IS DISTINCT FROM $2",
            id.uuid(),
            fingerprint
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// A runner's changes of status, newest first, at most `most`.
    pub async fn transitions(&mut self, id: RunnerId, most: i64) -> Result<Vec<TransitionRow>> {
        Ok(sqlx::query_as!(
            TransitionRow,
            "SELECT at, from_status, to_status, source, detail FROM runner_events WHERE runner_id = $1
             ORDER BY id DESC LIMIT $2",
            id.uuid(),
            most
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Runners whose config was issued longer than `life` ago and that were never seen online, oldest first; without
    /// those somebody tried to remove within the last hour. One that registers itself has used its token once GitHub has
    /// an id for it; until then it has the token's hour, and a little more.
    pub async fn unused(&mut self, life: TimeDelta, most: i64) -> Result<Vec<Runner>> {
        let rows = runner_rows!(
            "WHERE runners.status = 'pending' AND (NOT registers_itself OR github_runner_id IS NULL)
                AND registered_at < now()
                    - make_interval(secs => CASE WHEN registers_itself THEN greatest($1::float8, 4200) ELSE $1::float8 END)
                AND NOT EXISTS (SELECT FROM jobs WHERE jobs.runner_id = runners.id AND kind = 'deprovision'
                    AND (finished_at IS NULL OR finished_at > now() - interval '1 hour'))
             ORDER BY registered_at LIMIT $2",
            seconds(life),
            most
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(readable(rows))
    }

    /// Runners that have been offline for longer than `age`, oldest first; without those somebody tried to remove
    /// within the last hour.
    pub async fn stale(&mut self, age: TimeDelta, most: i64) -> Result<Vec<Runner>> {
        let rows = runner_rows!(
            "WHERE runners.status = 'offline' AND offline_since < now() - make_interval(secs => $1)
                AND NOT EXISTS (SELECT FROM jobs WHERE jobs.runner_id = runners.id AND kind = 'deprovision'
                    AND (finished_at IS NULL OR finished_at > now() - interval '1 hour'))
             ORDER BY offline_since LIMIT $2",
            seconds(age),
            most
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(readable(rows))
    }

    /// The live runner that GitHub knows by this id.
    pub async fn by_github_id(&mut self, installation: &InstallationId, id: i64) -> Result<Option<Runner>> {
        let row = runner_rows!(
            "WHERE runners.installation = $1 AND github_runner_id = $2 AND status <> 'deleted'",
            installation.as_str(),
            id
        )
        .fetch_optional(&mut *self.0)
        .await?;
        row.map(Runner::try_from).transpose()
    }
}
