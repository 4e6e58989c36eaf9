//! Runners that a sync run finds fault with, for the admin who decides about held removals.

use domain::InstallationId;
use uuid::Uuid;

use super::Runners;
use crate::Result;

/// A live runner that the newest sync runs did not list, or that differs from what the service bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoubtfulRow {
    /// Id of the runner.
    pub id: Uuid,
    /// Name of the runner.
    pub name: String,
    /// Id of its team.
    pub team_id: Uuid,
    /// Name of its team.
    pub team: String,
    /// Doubtful runners of its team.
    pub of_team: i64,
    /// State of the runner.
    pub status: String,
    /// Complete runs in a row that did not list it.
    pub missed: i16,
    /// Runs of any kind in a row that did not list it.
    pub unlisted: i16,
    /// Whether the label policy refused it.
    pub refused: bool,
    /// Whether it differs from what the service bound.
    pub drifted: bool,
}

impl Runners<'_> {
    /// Returns up to `limit` doubtful runners of an installation, those that the most runs did not list first.
    pub async fn doubtful(&mut self, installation: &InstallationId, limit: i64) -> Result<Vec<DoubtfulRow>> {
        Ok(sqlx::query_as!(
            DoubtfulRow,
            r#"SELECT runners.id, runners.name, team_id, teams.name AS team, status, missed, unlisted, refused,
                drift_seen IS NOT NULL AS "drifted!", count(*) OVER (PARTITION BY team_id) AS "of_team!"
             FROM runners JOIN teams ON teams.id = runners.team_id
             WHERE runners.installation = $1 AND status NOT IN ('requested', 'deleted')
                AND (missed > 0 OR unlisted > 0 OR refused OR drift_seen IS NOT NULL)
             ORDER BY missed DESC, unlisted DESC, runners.id LIMIT $2"#,
            installation.as_str(),
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}
