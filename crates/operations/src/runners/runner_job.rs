//! Jobs about one runner: its removal and its check. One open job of a kind serves all callers who request it.

use chrono::TimeDelta;
use domain::{
    AuditEntry, Job, JobId, JobKind, JobParams, JobState, Problem, ProblemCode, Removal, Runner, RunnerId,
    RunnerStatus, Source,
};
use serde_json::json;
use store::NewJob;

use crate::{Actor, Operations, Result, queueing};

/// Most attempts to insert a job or to join the open one before that ends.
const MAX_TRIES: usize = 3;

/// A caller's request for a job about a runner.
#[derive(Debug)]
pub struct RunnerJobRequest<'o> {
    by: Actor<'o>,
    params: JobParams,
    /// Event type of the audit row.
    event_type: &'static str,
}

impl<'o> RunnerJobRequest<'o> {
    /// Returns a request to remove the runner.
    pub const fn removal(by: Actor<'o>) -> Self {
        Self { by, params: JobParams::Deprovision(Removal::Runner), event_type: "runner.deprovision" }
    }

    /// Returns a request to check the runner on GitHub now.
    pub const fn refresh(by: Actor<'o>) -> Self {
        Self { by, params: JobParams::DriftCheck { source: Source::Refresh }, event_type: "runner.refresh" }
    }
}

impl RunnerJobRequest<'_> {
    /// Returns the runner, if the caller may act on it and it is on GitHub. A refusal is recorded.
    ///
    /// # Errors
    /// `not_found`, `runner_deleted`, `runner_busy`, `team_inactive`; database errors.
    pub async fn authorize(&self, operations: &Operations<'_>, id: RunnerId) -> Result<Runner> {
        let runner = operations.find_runner(self.by.caller, id).await?;
        let Some(runner) = runner else { return Err(Problem::not_found("runner").into()) };
        let hidden = !self.by.caller.may_see(Some(runner.team), Some(runner.provisioned_by));
        let problem = match runner.status {
            _ if hidden => Problem::not_found("runner"),
            RunnerStatus::Deleted => {
                Problem::new(ProblemCode::RunnerDeleted, "The runner is deleted already.")
            }
            RunnerStatus::Requested => {
                let detail = "The runner is not registered yet; cancel its job instead.";
                Problem::new(ProblemCode::RunnerBusy, detail)
            }
            _ => match self.check_team(operations, &runner).await? {
                Some(problem) => problem,
                None => return Ok(runner),
            },
        };
        let mut entry = AuditEntry { error: Some(problem.detail.clone()), ..self.entry(&runner) };
        if hidden {
            // The attempt of a caller who cannot see the runner is visible to admins only, not in the team's log.
            entry.team = None;
            entry.data = json!({ "team_id": runner.team });
            operations.record_hidden_refusal(&entry, &problem).await?;
        } else {
            operations.record_refusal(&entry, &problem).await?;
        }
        Err(problem.into())
    }

    /// Returns a problem if the runner's team is deactivated: it may only remove runners.
    async fn check_team(&self, operations: &Operations<'_>, runner: &Runner) -> Result<Option<Problem>> {
        if self.by.caller.is_admin || self.params.kind() == JobKind::Deprovision {
            return Ok(None);
        }
        let team =
            operations.store.conn().await?.teams().basics(runner.team).await?.filter(|team| !team.is_active);
        Ok(team.map(|team| Problem::team_inactive(team.deactivation_reason.as_deref())))
    }

    /// Commits the job and its audit row, or joins the open job of this kind.
    ///
    /// # Errors
    /// `runner_busy` if jobs begin and end too fast to join one; database errors.
    pub async fn submit_or_join(&self, operations: &Operations<'_>, runner: &Runner) -> Result<Job> {
        for _ in 0..MAX_TRIES {
            if let Some(job) = self.insert(operations, runner).await? {
                self.enqueue(operations, runner, &job).await?;
                return Ok(job);
            }
            if let Some(job) = self.join(operations, runner).await? {
                if job.state == JobState::Queued && job.is_urgent() {
                    self.enqueue(operations, runner, &job).await?;
                }
                return Ok(job);
            }
        }
        let detail = "The runner's jobs begin and end too fast to join one; try again.";
        Err(Problem::new(ProblemCode::RunnerBusy, detail).retry_after(1).into())
    }

    /// Joins a successful check of the runner that is younger than `within`, if there is one, and records that.
    ///
    /// # Errors
    /// Database errors.
    pub async fn join_recent_check(
        &self,
        operations: &Operations<'_>,
        runner: &Runner,
        within: TimeDelta,
    ) -> Result<Option<Job>> {
        let mut tx = operations.store.begin().await?;
        let Some(job) = tx.jobs().find_recent_check(runner.id, within).await? else { return Ok(None) };
        let data = json!({ "joined": true });
        tx.audit().write(&AuditEntry { job: Some(job.id), data, ..self.entry(runner) }).await?;
        tx.commit().await?;
        Ok(Some(job))
    }

    async fn enqueue(&self, operations: &Operations<'_>, runner: &Runner, job: &Job) -> Result<()> {
        let team = operations.store.conn().await?.teams().basics(runner.team).await?;
        queueing::enqueue(operations.queue, job, team.map_or(1.0, |team| team.weight)).await;
        Ok(())
    }

    /// Joins the open job of this kind. Returns `None` if there is none any more.
    async fn join(&self, operations: &Operations<'_>, runner: &Runner) -> Result<Option<Job>> {
        let mut tx = operations.store.begin_briefly().await?;
        let Some(job) = tx.jobs().add_waiter(runner.id, self.params.kind()).await? else { return Ok(None) };
        let data = json!({ "joined": true });
        tx.audit().write(&AuditEntry { job: Some(job.id), data, ..self.entry(runner) }).await?;
        tx.commit().await?;
        Ok(Some(job))
    }

    fn entry(&self, runner: &Runner) -> AuditEntry {
        AuditEntry {
            runner: Some(runner.id),
            runner_name: Some(runner.name.clone()),
            team: Some(runner.team),
            ..self.by.entry(self.event_type)
        }
    }

    /// Inserts a job. Returns `None` if there is an open one already.
    async fn insert(&self, operations: &Operations<'_>, runner: &Runner) -> Result<Option<Job>> {
        let job = NewJob {
            id: JobId::new(),
            installation: runner.installation.clone(),
            team: Some(runner.team),
            requester: Some(self.by.caller.requester),
            runner: Some(runner.id),
            call: None,
            params: self.params.clone(),
            trace: self.by.origin.trace.clone(),
        };
        let mut tx = operations.store.begin_briefly().await?;
        let job = match tx.jobs().insert_for(&job, self.by.subject()).await {
            Ok(job) => job,
            Err(error) if matches!(error.constraint(), Some(OPEN_DEPROVISION | OPEN_DRIFT_CHECK)) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        tx.audit().write(&AuditEntry { job: Some(job.id), ..self.entry(runner) }).await?;
        tx.commit().await?;
        Ok(Some(job))
    }
}

const OPEN_DEPROVISION: &str = "jobs_one_open_deprovision";
const OPEN_DRIFT_CHECK: &str = "jobs_one_open_drift_check";
