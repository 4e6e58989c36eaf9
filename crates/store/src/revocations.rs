//! Revocation of access: the open jobs and unread configs through which a requester or a team could still get runners.

use domain::{InstallationId, JobId, JobKind, Problem, Requester, RunnerId, Source, TeamId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Result, StoreError, page::owner_columns, readable::keep_readable, runners::apply_status_changes,
};

/// Revocation queries on one connection.
#[derive(Debug)]
pub struct Revocations<'c>(pub(crate) &'c mut PgConnection);

/// The access to revoke: jobs that match every given part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedAccess {
    /// Only jobs of this requester.
    pub requester: Option<Requester>,
    /// Only jobs of this team.
    pub team: Option<TeamId>,
    /// Only jobs of these kinds, all of which make runners.
    pub kinds: Vec<JobKind>,
}

/// A runner whose config was shredded unread, so that it can never start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadRunner {
    /// Id of the runner.
    pub id: RunnerId,
    /// Installation of the runner.
    pub installation: InstallationId,
    /// Team of the runner.
    pub team: TeamId,
    /// Whether GitHub has an id for it.
    pub on_github: bool,
}

/// Result of shredding configs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShreddedConfigs {
    /// Number of shredded configs.
    pub count: usize,
    /// Runners whose config was shredded unread.
    pub unread: Vec<UnreadRunner>,
    /// Number of further such runners on GitHub, whose installation this version cannot read. They stay there.
    pub unreadable: usize,
}

impl RevokedAccess {
    fn columns(&self) -> (Option<Uuid>, Option<Uuid>, Option<Uuid>, Vec<String>) {
        let (user, client) = owner_columns(self.requester);
        let kinds = self.kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        (user, client, self.team.map(TeamId::uuid), kinds)
    }
}

impl Revocations<'_> {
    /// Cancels the open jobs, queued and running, with `problem` as their result, and marks their runners as deleted. A
    /// worker that runs one cannot write its result and removes the runner it made.
    pub async fn cancel_jobs(
        &mut self,
        whose: &RevokedAccess,
        problem: &Problem,
        detail: &str,
    ) -> Result<Vec<JobId>> {
        let (user, client, team, kinds) = whose.columns();
        let error = serde_json::to_value(problem).map_err(StoreError::inconsistent)?;
        let ended = sqlx::query!(
            "UPDATE jobs SET state = 'cancelled', error = $5, blocked_on = NULL, finished_at = now(), updated_at = now()
             WHERE id IN (SELECT id FROM jobs WHERE finished_at IS NULL AND kind = ANY($4)
                AND ($1::uuid IS NULL OR requester_user = $1) AND ($2::uuid IS NULL OR requester_client = $2)
                AND ($3::uuid IS NULL OR team_id = $3) ORDER BY id FOR UPDATE)
             RETURNING id, runner_id",
            user,
            client,
            team,
            &kinds,
            error,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let runners: Vec<RunnerId> =
            ended.iter().filter_map(|row| row.runner_id).map(RunnerId::from).collect();
        self.delete_runners(&runners, detail).await?;
        Ok(ended.into_iter().map(|row| row.id.into()).collect())
    }

    /// Shreds the remaining configs and registration tokens. Runners unknown to GitHub whose token was never read are
    /// marked as deleted. Rows that this version cannot read change none of that; they are reported.
    pub async fn shred_configs(&mut self, whose: &RevokedAccess, detail: &str) -> Result<ShreddedConfigs> {
        let (user, client, team, kinds) = whose.columns();
        let rows = sqlx::query!(
            r#"WITH gone AS (
                UPDATE credentials SET key_id = NULL, wrapped_key = NULL, ciphertext = NULL, shredded_at = now()
                FROM jobs WHERE jobs.id = credentials.job_id AND shredded_at IS NULL AND jobs.kind = ANY($4)
                    AND ($1::uuid IS NULL OR requester_user = $1) AND ($2::uuid IS NULL OR requester_client = $2)
                    AND ($3::uuid IS NULL OR team_id = $3)
                RETURNING jobs.runner_id, first_read_at IS NULL AS unread
             )
             SELECT unread AS "unread!", runners.id AS "id!", runners.installation AS "installation!",
                runners.team_id AS "team_id!", github_runner_id IS NOT NULL AS "on_github!"
             FROM gone JOIN runners ON runners.id = gone.runner_id"#,
            user,
            client,
            team,
            &kinds,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let mut shredded = ShreddedConfigs { count: rows.len(), ..ShreddedConfigs::default() };
        let mut unknown: Vec<RunnerId> = Vec::new();
        for row in rows.into_iter().filter(|row| row.unread) {
            let id = RunnerId::from(row.id);
            if !row.on_github {
                unknown.push(id);
            }
            let (team, on_github) = (row.team_id.into(), row.on_github);
            match keep_readable(row.installation.parse().map_err(StoreError::inconsistent)) {
                Some(installation) => {
                    shredded.unread.push(UnreadRunner { id, installation, team, on_github });
                }
                None => shredded.unreadable += usize::from(on_github),
            }
        }
        self.delete_runners(&unknown, detail).await?;
        Ok(shredded)
    }

    async fn delete_runners(&mut self, runners: &[RunnerId], detail: &str) -> Result<()> {
        if runners.is_empty() {
            return Ok(());
        }
        let changes: Vec<_> = runners.iter().map(|id| domain::StatusChange::deleted(*id, detail)).collect();
        apply_status_changes(self.0, &changes, Source::Api, None).await.map(drop)
    }
}
