//! Runners that register themselves: awaited, then known by GitHub's id.

use domain::{InstallationId, LabelPolicy, RunnerId, TeamId};
use sqlx::PgConnection;

use crate::Result;

/// The awaited runners, on one connection.
#[derive(Debug)]
pub struct Newcomers<'c>(pub(crate) &'c mut PgConnection);

/// A runner that has a token and no id yet.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// Which.
    pub id: RunnerId,
    /// Its team.
    pub team: TeamId,
    /// Its name.
    pub name: String,
    /// Labels it was asked for with.
    pub labels: Vec<String>,
    /// What its team's runners may be called by.
    pub policy: LabelPolicy,
}

impl Newcomers<'_> {
    /// Those of an installation, longest awaited first.
    pub async fn awaited(&mut self, installation: &InstallationId, most: i64) -> Result<Vec<Awaited>> {
        let rows = sqlx::query!(
            "SELECT runners.id, team_id, runners.name, labels, required_labels, optional_label_patterns
             FROM runners JOIN teams ON teams.id = runners.team_id
             WHERE runners.installation = $1 AND registers_itself AND status = 'pending'
                AND github_runner_id IS NULL
             ORDER BY registered_at LIMIT $2",
            installation.as_str(),
            most,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let awaited = rows.into_iter().map(|row| Awaited {
            id: row.id.into(),
            team: row.team_id.into(),
            name: row.name,
            labels: row.labels,
            policy: LabelPolicy::new(&row.required_labels, &row.optional_label_patterns),
        });
        Ok(awaited.collect())
    }

    /// Notes under which id and labels an awaited runner has registered itself. False: it is no longer awaited, the id is
    /// another row's, or GitHub listed it before there was a token.
    pub async fn take_in(&mut self, id: RunnerId, github_id: i64, labels: &[String]) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE runners SET github_runner_id = $2, labels = $3
             WHERE id = $1 AND registers_itself AND status = 'pending' AND github_runner_id IS NULL
                AND NOT EXISTS (SELECT FROM runners other WHERE other.installation = runners.installation
                    AND other.github_runner_id = $2 AND other.status <> 'deleted')
                AND NOT EXISTS (SELECT FROM unmanaged_runners theirs WHERE theirs.installation = runners.installation
                    AND theirs.github_runner_id = $2 AND theirs.first_seen_at < runners.registered_at)",
            id.uuid(),
            github_id,
            labels,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
