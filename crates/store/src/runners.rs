//! Runners: requests, names, registration and lists.

mod doubtful;
mod leftover;
mod list;
mod status;

use chrono::{DateTime, Utc};
use domain::{InstallationId, Requester, Runner, RunnerId, RunnerName, RunnerVersion, TeamId};
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) use self::status::apply_status_changes;
pub use self::status::{LiveRunners, TransitionRow};
pub use self::{doubtful::DoubtfulRow, list::RunnerFilter};
use crate::{Result, StoreError, Visible, readable::read_row};

/// Runner queries on one connection.
#[derive(Debug)]
pub struct Runners<'c>(pub(crate) &'c mut PgConnection);

/// A runner that is requested.
#[derive(Clone, Debug)]
pub struct NewRunner {
    /// Id of the runner.
    pub id: RunnerId,
    /// Installation it belongs to.
    pub installation: InstallationId,
    /// Team it belongs to.
    pub team: TeamId,
    /// Requester of the runner.
    pub owner: Requester,
    /// Name on GitHub.
    pub name: RunnerName,
    /// Id of its runner group.
    pub runner_group_id: i64,
    /// Labels of the runner.
    pub labels: Vec<String>,
    /// Whether it runs one workflow job and is then removed.
    pub ephemeral: bool,
    /// Whether it registers itself with a token.
    pub registers_itself: bool,
    /// Version of the runner software, as the caller stated it.
    pub stated_version: Option<RunnerVersion>,
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
    app_installation: Option<String>,
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
            app_installation: row.app_installation,
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
    ($tail:tt $(+ $more:tt)* $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            RunnerRow,
            r#"SELECT runners.id, runners.installation, runners.team_id, teams.name AS team_name, runners.owner_user,
                runners.owner_client,
                coalesce(users.email, users.display_name, users.subject, oauth_clients.client_id) AS owner_identity,
                runners.name, runners.status, runners.busy, runners.github_runner_id, runners.app_installation, runners.runner_group_id,
                runners.runner_group_name,
                runners.labels, runners.ephemeral, runners.registers_itself, runners.stated_version,
                runners.version, runners.created_at, runners.updated_at, runners.registered_at,
                runners.deleted_at
             FROM runners JOIN teams ON teams.id = runners.team_id
                LEFT JOIN users ON users.id = runners.owner_user
                LEFT JOIN oauth_clients ON oauth_clients.id = runners.owner_client "# + $tail $(+ $more)*
            $(, $arg)*
        )
    };
}

use runner_rows;

impl Runners<'_> {
    /// Returns the runner, if it exists.
    pub async fn get(&mut self, id: RunnerId) -> Result<Option<Runner>> {
        let row = runner_rows!("WHERE runners.id = $1", id.uuid()).fetch_optional(&mut *self.0).await?;
        read_row(row)
    }

    /// Returns whether a runner with this id exists that the caller may see. It uses only columns that every version of
    /// the program writes alike, so that it answers for a runner that this version cannot read.
    pub async fn is_visible(&mut self, id: RunnerId, visible: &Visible) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM runners WHERE id = $1
                AND ($2 OR owner_user = $3 OR owner_client = $4 OR team_id = ANY($5))) AS "visible!""#,
            id.uuid(),
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Returns the runner with this whole name, in any case, that the caller may see: one that exists, else the newest
    /// that is gone.
    pub async fn named(&mut self, name: &str, visible: &Visible) -> Result<Option<RunnerId>> {
        let id = sqlx::query_scalar!(
            "SELECT id FROM runners WHERE lower(name) = lower($1)
                AND ($2 OR owner_user = $3 OR owner_client = $4 OR team_id = ANY($5))
             ORDER BY status = 'deleted', id DESC LIMIT 1",
            name,
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(id.map(RunnerId::from))
    }

    /// Returns how many runners of the team are not deleted.
    pub async fn count_live(&mut self, team: TeamId) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM runners WHERE team_id = $1 AND status <> 'deleted'"#,
            team.uuid()
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Renames a `requested` runner for its next generation. Returns `false` if it is not `requested` any more.
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

    /// Changes `requested` to `pending`: GitHub made the runner under this id, through the App of this installation.
    /// Returns `false` if it was not `requested`.
    pub async fn register(
        &mut self,
        id: RunnerId,
        github_runner_id: i64,
        app: &InstallationId,
    ) -> Result<bool> {
        let done = sqlx::query!(
            "WITH moved AS (
                UPDATE runners SET status = 'pending', github_runner_id = $2, app_installation = $3,
                    registered_at = now(), updated_at = now()
                WHERE id = $1 AND status = 'requested' RETURNING id
             )
             INSERT INTO runner_events (runner_id, from_status, to_status, source)
             SELECT id, 'requested', 'pending', 'job' FROM moved",
            id.uuid(),
            github_runner_id,
            app.as_str(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Changes `requested` to `pending` for a runner that has a registration token. `group` is the runner group handed
    /// out with the token, `None` for the default one. Returns `false` if it was not `requested`.
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

    /// Returns the runner with this GitHub id that is not deleted.
    pub async fn by_github_id(&mut self, installation: &InstallationId, id: i64) -> Result<Option<Runner>> {
        let row = runner_rows!(
            "WHERE runners.installation = $1 AND github_runner_id = $2 AND status <> 'deleted'",
            installation.as_str(),
            id
        )
        .fetch_optional(&mut *self.0)
        .await?;
        read_row(row)
    }
}
