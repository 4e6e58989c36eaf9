//! Acceptance of jobs, their waiters and their cancellation before a start.

use chrono::TimeDelta;
use domain::{
    CallId, InstallationId, Job, JobId, JobKind, JobParams, Principal, Requester, RunnerId, TeamId,
};
use serde_json::Value;
use uuid::Uuid;

use super::{JobRow, Jobs, job_rows, seconds};
use crate::{
    Result, StoreError,
    page::owner_columns,
    readable::{keep_readable, read_row},
};

/// A job to be accepted. Its deadline depends on its kind.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Id of the job.
    pub id: JobId,
    /// Installation whose GitHub budget it uses.
    pub installation: InstallationId,
    /// Team it belongs to.
    pub team: Option<TeamId>,
    /// Requester; `None` for jobs of the service itself.
    pub requester: Option<Requester>,
    /// Runner it is about.
    pub runner: Option<RunnerId>,
    /// GitHub call whose orphan it removes.
    pub call: Option<CallId>,
    /// Parameters by kind.
    pub params: JobParams,
    /// W3C trace context of the request.
    pub trace: Option<String>,
}

impl Jobs<'_> {
    /// Inserts a queued job.
    ///
    /// # Errors
    /// `Conflict` by `jobs_one_open_deprovision`, `jobs_one_open_drift_check` or `jobs_one_open_reap`.
    pub async fn insert(&mut self, job: &NewJob) -> Result<Job> {
        self.insert_for(job, None).await
    }

    /// Inserts a queued job with the principal that requested it for a machine client.
    ///
    /// # Errors
    /// `Conflict` by `jobs_one_open_deprovision`, `jobs_one_open_drift_check` or `jobs_one_open_reap`.
    pub async fn insert_for(&mut self, job: &NewJob, asked_by: Option<&Principal>) -> Result<Job> {
        let asked_by = asked_by.map(Principal::fingerprint);
        let (user, client) = owner_columns(job.requester);
        let kind = job.params.kind();
        let params = serde_json::to_value(&job.params).map_err(StoreError::inconsistent)?;
        let row = job_rows!(
            "INSERT INTO jobs (id, kind, installation, team_id, requester_user, requester_client, runner_id, call_id,
                params, trace, deadline_at, asked_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11), $12) RETURNING",
            "",
            job.id.uuid(),
            kind.as_str(),
            job.installation.as_str(),
            job.team.map(TeamId::uuid),
            user,
            client,
            job.runner.map(RunnerId::uuid),
            job.call.map(CallId::uuid),
            params,
            job.trace,
            seconds(kind.deadline_after()),
            asked_by,
        )
        .fetch_one(&mut *self.0)
        .await?;
        row.try_into()
    }

    /// Inserts queued jobs of one kind in one statement, without those that a constraint forbids. Returns the inserted
    /// jobs.
    pub async fn insert_new(&mut self, jobs: &[NewJob]) -> Result<Vec<Job>> {
        let Some(kind) = jobs.first().map(|job| job.params.kind()) else { return Ok(Vec::new()) };
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.id.uuid()).collect();
        let installations: Vec<String> = jobs.iter().map(|job| job.installation.to_string()).collect();
        let teams: Vec<Option<Uuid>> = jobs.iter().map(|job| job.team.map(TeamId::uuid)).collect();
        let runners: Vec<Option<Uuid>> = jobs.iter().map(|job| job.runner.map(RunnerId::uuid)).collect();
        let params: Vec<Value> = jobs
            .iter()
            .map(|job| serde_json::to_value(&job.params).map_err(StoreError::inconsistent))
            .collect::<Result<_>>()?;
        let rows = job_rows!(
            "INSERT INTO jobs (id, kind, installation, team_id, runner_id, params, deadline_at)
             SELECT id, $1, installation, team, runner, params, now() + make_interval(secs => $2)
             FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::uuid[], $7::jsonb[])
                AS n(id, installation, team, runner, params)
             ON CONFLICT DO NOTHING RETURNING",
            "",
            kind.as_str(),
            seconds(kind.deadline_after()),
            &ids,
            &installations,
            &teams as &[Option<Uuid>],
            &runners as &[Option<Uuid>],
            &params,
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// Adds a waiter to the open job of this kind for a runner. Returns `None` if there is no such job.
    pub async fn add_waiter(&mut self, runner: RunnerId, kind: JobKind) -> Result<Option<Job>> {
        let row = job_rows!(
            "UPDATE jobs SET joined = joined + 1 WHERE runner_id = $1 AND kind = $2 AND finished_at IS NULL RETURNING",
            "",
            runner.uuid(),
            kind.as_str()
        )
        .fetch_optional(&mut *self.0)
        .await?;
        read_row(row)
    }

    /// Returns the runner's newest drift check that succeeded within this time. Returns `None` if there is none, or
    /// if this version cannot read it.
    pub async fn find_recent_check(&mut self, runner: RunnerId, within: TimeDelta) -> Result<Option<Job>> {
        let row = job_rows!(
            "SELECT",
            "FROM jobs WHERE runner_id = $1 AND kind = 'drift_check' AND state = 'succeeded'
                AND finished_at > now() - make_interval(secs => $2)
             ORDER BY finished_at DESC LIMIT 1",
            runner.uuid(),
            seconds(within),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(row.and_then(|row| keep_readable(row.try_into())))
    }

    /// Removes one waiter from a queued job and cancels the job when no waiter is left. Returns `None` if the job is
    /// not queued.
    pub async fn remove_waiter(&mut self, id: JobId) -> Result<Option<Job>> {
        let row = job_rows!(
            "UPDATE jobs SET joined = greatest(joined - 1, 0), updated_at = now(),
                state = CASE WHEN joined = 0 THEN 'cancelled' ELSE state END,
                blocked_on = CASE WHEN joined = 0 THEN NULL ELSE blocked_on END,
                finished_at = CASE WHEN joined = 0 THEN now() END
             WHERE id = $1 AND state = 'queued' RETURNING",
            "",
            id.uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        read_row(row)
    }

    /// Cancels a queued job. Returns `None` if it is running, final or unknown.
    pub async fn cancel(&mut self, id: JobId) -> Result<Option<Job>> {
        let row = job_rows!(
            "UPDATE jobs SET state = 'cancelled', blocked_on = NULL, finished_at = now(), updated_at = now()
             WHERE id = $1 AND state = 'queued' RETURNING",
            "",
            id.uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        read_row(row)
    }
}
