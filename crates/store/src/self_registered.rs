//! Runners that register themselves: awaited, then known by GitHub's id, and to go when they broke the policy.

use domain::{InstallationId, RunnerId, TeamId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;

/// The awaited runners, on one connection.
#[derive(Debug)]
pub struct SelfRegistered<'c>(pub(crate) &'c mut PgConnection);

/// A runner that registers itself, and what it may be like.
#[derive(Clone, Debug)]
pub struct AwaitedRunner {
    /// Which.
    pub id: RunnerId,
    /// GitHub's id, once it is known.
    pub github_id: Option<i64>,
    /// Its team.
    pub team: TeamId,
    /// Its name.
    pub name: String,
    /// Labels it was asked for with.
    pub labels: Vec<String>,
    /// The group it was told to land in; none: it was told none.
    pub runner_group_id: Option<i64>,
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

/// Who is told no group lands in the default one, whose id is 1 everywhere.
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
    /// Those of an installation that have a token and no id yet, longest awaited first.
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

    /// Those of an installation that broke the policy and are still there.
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

    /// Notes under which id and labels an awaited runner has registered itself, whether it is to go for it, and the labels
    /// that its team's policy does not allow. False: it
    /// is no longer awaited, the id is another row's, or GitHub listed it before there was a token.
    pub async fn bind_github_id(
        &mut self,
        id: RunnerId,
        github_id: i64,
        (labels, refused, foreign): (&[String], bool, Option<&[String]>),
    ) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE runners SET github_runner_id = $2, labels = $3, refused = $4, foreign_labels = $5
             WHERE id = $1 AND registers_itself AND status = 'pending' AND github_runner_id IS NULL
                AND NOT EXISTS (SELECT FROM runners other WHERE other.installation = runners.installation
                    AND other.github_runner_id = $2 AND other.status <> 'deleted')
                AND NOT EXISTS (SELECT FROM unmanaged_runners theirs WHERE theirs.installation = runners.installation
                    AND theirs.github_runner_id = $2 AND theirs.first_seen_at < runners.registered_at)",
            id.uuid(),
            github_id,
            labels,
            refused,
            foreign,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Lets a refused runner stay after all, as it is now.
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
