//! Jobs that the service creates itself, and cancellation of jobs.

use domain::{
    AuditEntry, Caller, InstallationId, Job, JobId, JobParams, Problem, ProblemCode, ReclaimReason, Removal,
    Runner, RunnerId, Source, TeamId,
};
use store::{NewJob, StoreError, Tx, Visible};

use crate::{Actor, Operations, Result};

/// Event type of the audit row.
const CANCEL_EVENT_TYPE: &str = "job.cancel";

/// Returns a new job of the service itself, with an id.
pub fn service_job(
    installation: &InstallationId,
    team: Option<TeamId>,
    runner: Option<RunnerId>,
    params: JobParams,
) -> NewJob {
    let installation = installation.clone();
    NewJob { id: JobId::new(), installation, team, requester: None, runner, call: None, params, trace: None }
}

/// Returns a job that removes a runner without a caller's request.
pub fn leftover_removal(runner: &Runner, why: ReclaimReason) -> NewJob {
    let params = JobParams::Deprovision(Removal::Leftover { why });
    service_job(&runner.installation, Some(runner.team), Some(runner.id), params)
}

impl Operations<'_> {
    /// Returns the job, if it exists, whether or not the caller may see it. A job that this version cannot read does not
    /// exist for a caller who may not see it.
    ///
    /// # Errors
    /// Database errors; `Inconsistent` if this version cannot read a job that the caller may see.
    pub async fn find_job(&self, caller: &Caller, id: JobId) -> Result<Option<Job>> {
        let mut conn = self.store.conn().await?;
        let job = conn.jobs().get(id).await;
        let hidden = matches!(job, Err(StoreError::Inconsistent(_)))
            && !conn.jobs().is_visible(id, &Visible::to(caller)).await?;
        if hidden { Ok(None) } else { Ok(job?) }
    }

    /// Returns the job, if the caller may see it.
    ///
    /// # Errors
    /// `not_found`; database errors; `Inconsistent` if this version cannot read the job.
    pub async fn visible_job(&self, caller: &Caller, id: JobId) -> Result<Job> {
        let job = self.find_job(caller, id).await?;
        let seen = job.filter(|job| caller.may_see(job.team, job.requester));
        Ok(seen.ok_or_else(|| Problem::not_found("job"))?)
    }

    /// Cancels a queued job. Its runner name and its place in the quota are free at once. A refusal is recorded.
    ///
    /// # Errors
    /// `not_found`, `job_not_cancellable`, `credential_denied`, `admin_required`; database errors.
    pub async fn cancel_job(&self, by: Actor<'_>, id: JobId) -> Result<Job> {
        let seen = self.visible_job(by.caller, id).await?;
        let problem = if by.caller.may_cancel(&seen) {
            match self.cancel_queued(by, id).await? {
                Some(job) => return Ok(job),
                None => Problem::new(
                    ProblemCode::JobNotCancellable,
                    format!("The job is {}; only a queued job can be cancelled.", seen.state),
                ),
            }
        } else if seen.requester.is_some() {
            let detail = "Another subject requested this job; a machine client cancels only jobs that its own subject requested.";
            Problem::new(ProblemCode::CredentialDenied, detail)
        } else {
            let detail = "The service created this job itself; only an admin may cancel it.";
            Problem::new(ProblemCode::AdminRequired, detail)
        };
        let entry = AuditEntry {
            error: Some(problem.detail.clone()),
            ..by.entry(CANCEL_EVENT_TYPE).about_job(&seen)
        };
        self.record_refusal(&entry, &problem).await?;
        Err(problem.into())
    }

    /// Removes the caller from the waiters of a queued job, and cancels the job if no waiter is left. Returns `None` if
    /// the job is not queued.
    ///
    /// # Errors
    /// Database errors.
    pub async fn leave_job(&self, by: Actor<'_>, id: JobId) -> Result<Option<Job>> {
        let mut tx = self.store.begin().await?;
        let Some(job) = tx.jobs().remove_waiter(id).await? else { return Ok(None) };
        if job.state.is_final() {
            self.finish_cancellation(tx, by, &job).await?;
        } else {
            tx.commit().await?;
        }
        Ok(Some(job))
    }

    /// Cancels a queued job. Returns `None` if the job is not queued.
    async fn cancel_queued(&self, by: Actor<'_>, id: JobId) -> Result<Option<Job>> {
        let mut tx = self.store.begin().await?;
        let Some(job) = tx.jobs().cancel(id).await? else { return Ok(None) };
        self.finish_cancellation(tx, by, &job).await?;
        Ok(Some(job))
    }

    async fn finish_cancellation(&self, mut tx: Tx, by: Actor<'_>, job: &Job) -> Result<()> {
        if let Some(runner) = job.runner.filter(|_| job.kind.makes_runner()) {
            tx.runners().mark_deleted(runner, Source::Api, "its job was cancelled").await?;
        }
        tx.audit().write(&by.entry(CANCEL_EVENT_TYPE).about_job(job)).await?;
        tx.commit().await?;
        if let Err(error) = self.queue.cancel(job.id).await {
            tracing::warn!(job = %job.id, %error, "queue unavailable; its copy of a cancelled job is dropped when it is claimed");
        }
        if let Err(error) = self.queue.announce(job.id, job.state.as_str()).await {
            tracing::debug!(job = %job.id, %error, "announcement failed; waiting requests see the change at their next poll");
        }
        Ok(())
    }
}
