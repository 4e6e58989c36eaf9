//! Runners that register themselves with a token: awaited, then bound to GitHub's id, and removed if they violate the
//! policy.

use domain::{InstallationId, RunnerId, TeamId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;

/// Queries of self-registered runners on one connection.
#[derive(Debug)]
pub struct SelfRegistered<'c>(pub(crate) &'c mut PgConnection);

/// A runner that registers itself, and the values it must have.
#[derive(Clone, Debug)]
pub struct AwaitedRunner {
    /// Id of the runner.
    pub id: RunnerId,
    /// GitHub's id, once it is known.
    pub github_id: Option<i64>,
    /// Team of the runner.
    pub team: TeamId,
    /// Name of the runner.
    pub name: String,
    /// Labels that were requested.
    pub labels: Vec<String>,
    /// Runner group that was handed out with the token; `None` if none was.
    pub runner_group_id: Option<i64>,
}

/// A runner that has registered itself, as it is on GitHub.
#[derive(Clone, Copy, Debug)]
pub struct RegisteredRunner<'a> {
    /// GitHub's id.
    pub github_id: i64,
    /// Labels to store.
    pub labels: &'a [String],
    /// Whether it violates the policy and is to be removed.
    pub refused: bool,
    /// Labels that its team's policy does not allow, if there are any.
    pub foreign_labels: Option<&'a [String]>,
}

struct AwaitedRow {
    id: Uuid,
    github_runner_id: Option<i64>,
    team_id: Uuid,
    name: String,
    labels: Vec<String>,
    told_group: Option<i64>,
}

impl From<AwaitedRow> for AwaitedRunner {
    fn from(row: AwaitedRow) -> Self {
        Self {
            id: row.id.into(),
            github_id: row.github_runner_id,
            team: row.team_id.into(),
            name: row.name,
            labels: row.labels,
            runner_group_id: row.told_group,
        }
    }
}

/// Self-registered runners. Without a group handed out, a runner registers in the default group, whose id is 1.
macro_rules! awaited_rows {
    ($tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            AwaitedRow,
            "SELECT runners.id, github_runner_id, team_id, runners.name, labels,
                CASE WHEN runner_group_id = 1 OR runner_group_name IS NOT NULL THEN runner_group_id END AS told_group
             FROM runners " + $tail
            $(, $arg)*
        )
    };
}

impl SelfRegistered<'_> {
    /// Returns an installation's runners with a token and without a GitHub id, longest awaited first.
    pub async fn awaited(&mut self, installation: &InstallationId, most: i64) -> Result<Vec<AwaitedRunner>> {
        let rows = awaited_rows!(
            "WHERE runners.installation = $1 AND registers_itself AND status = 'pending' AND github_runner_id IS NULL
             ORDER BY registered_at LIMIT $2",
            installation.as_str(),
            most,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(AwaitedRunner::from).collect())
    }

    /// Returns an installation's runners that violate the policy and are not deleted.
    pub async fn refused(&mut self, installation: &InstallationId, most: i64) -> Result<Vec<AwaitedRunner>> {
        let rows = awaited_rows!(
            "WHERE runners.installation = $1 AND refused AND status <> 'deleted' ORDER BY registered_at LIMIT $2",
            installation.as_str(),
            most,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(AwaitedRunner::from).collect())
    }

    /// Binds an awaited runner to its GitHub id and labels. Returns `false` if it is not awaited any more, the id
    /// belongs to another row, or GitHub listed it before there was a token.
    pub async fn bind_github_id(&mut self, id: RunnerId, found: &RegisteredRunner<'_>) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE runners SET github_runner_id = $2, labels = $3, refused = $4, foreign_labels = $5
             WHERE id = $1 AND registers_itself AND status = 'pending' AND github_runner_id IS NULL
                AND NOT EXISTS (SELECT FROM runners other WHERE other.installation = runners.installation
                    AND other.github_runner_id = $2 AND other.status <> 'deleted')
                AND NOT EXISTS (SELECT FROM unmanaged_runners theirs WHERE theirs.installation = runners.installation
                    AND theirs.github_runner_id = $2 AND theirs.first_seen_at < runners.registered_at)",
            id.uuid(),
            found.github_id,
            found.labels,
            found.refused,
            found.foreign_labels,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Withdraws the refusal of a runner and stores its current labels.
    pub async fn accept(&mut self, id: RunnerId, labels: &[String]) -> Result<()> {
        sqlx::query!(
            "UPDATE runners SET refused = false, foreign_labels = NULL, labels = $2 WHERE id = $1 AND refused",
            id.uuid(),
            labels
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }
}
