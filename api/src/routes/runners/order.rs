//! Sending a job after one runner. One open job of a kind is enough for all who ask.

use chrono::TimeDelta;
use domain::{
    AuditEntry, Caller, Job, JobId, JobKind, JobParams, JobState, Origin, Problem, ProblemCode, Runner,
    RunnerId, RunnerStatus,
};
use serde_json::json;
use store::NewJob;

use crate::{app::App, error::ApiResult, queueing, refusal};

/// Tries to find the open job that forbade ours before it ends.
const TRIES: usize = 3;

/// What somebody wants done about a runner.
pub(super) struct Order<'o> {
    pub(super) caller: &'o Caller,
    pub(super) origin: &'o Origin,
    pub(super) params: JobParams,
    /// Of the audit row.
    pub(super) event_type: &'static str,
}

impl Order<'_> {
    /// The runner, if the caller may act on it and it is on GitHub. A try that is refused is written down.
    pub(super) async fn target(&self, app: &App, id: RunnerId) -> ApiResult<Runner> {
        let runner = app.store.read().await?.runners().get(id).await?;
        let Some(runner) = runner else { return Err(Problem::not_found("runner").into()) };
        let stranger = !self.caller.may_see(Some(runner.team), Some(runner.provisioned_by));
        let problem = match runner.status {
            _ if stranger => Problem::not_found("runner"),
            RunnerStatus::Deleted => {
                Problem::new(ProblemCode::RunnerDeleted, "The runner is deleted already.")
            }
            RunnerStatus::Requested => {
                let detail = "The runner is still being made; cancel its job instead.";
                Problem::new(ProblemCode::RunnerBusy, detail)
            }
            _ => match self.team_refuses(app, &runner).await? {
                Some(problem) => problem,
                None => return Ok(runner),
            },
        };
        let mut entry = AuditEntry { error: Some(problem.detail.clone()), ..self.entry(&runner) };
        if stranger {
            // A stranger's try is for admins to see: it does not belong into the log of the team.
            entry.team = None;
            entry.data = json!({ "team_id": runner.team });
            refusal::note_of_stranger(app, &entry, &problem).await?;
        } else {
            refusal::note(app, &entry, &problem).await?;
        }
        Err(problem.into())
    }

    /// Why the runner's team may not have this done: a deactivated team only tidies up.
    async fn team_refuses(&self, app: &App, runner: &Runner) -> ApiResult<Option<Problem>> {
        if self.caller.is_admin || self.params.kind() == JobKind::Deprovision {
            return Ok(None);
        }
        let team = app.store.read().await?.teams().policy(runner.team).await?.filter(|team| !team.is_active);
        Ok(team.map(|team| Problem::team_inactive(team.deactivation_reason.as_deref())))
    }

    /// Commits the job and its audit row, or joins the open job that does the same.
    pub(super) async fn place(&self, app: &App, runner: &Runner) -> ApiResult<Job> {
        for _ in 0..TRIES {
            if let Some(job) = self.insert(app, runner).await? {
                self.enqueue(app, runner, &job).await?;
                return Ok(job);
            }
            if let Some(job) = self.join(app, runner).await? {
                if job.state == JobState::Queued && job.is_urgent() {
                    self.enqueue(app, runner, &job).await?;
                }
                return Ok(job);
            }
        }
        let detail = "The runner's jobs come and go too fast; try again.";
        Err(Problem::new(ProblemCode::RunnerBusy, detail).retry_after(1).into())
    }

    /// Joins a look at the runner that is younger than this, as written down as any other.
    pub(super) async fn join_last_look(
        &self,
        app: &App,
        runner: &Runner,
        within: TimeDelta,
    ) -> ApiResult<Option<Job>> {
        let mut tx = app.store.begin().await?;
        let Some(job) = tx.jobs().last_look(runner.id, within).await? else { return Ok(None) };
        let data = json!({ "joined": true });
        tx.audit().write(&AuditEntry { job: Some(job.id), data, ..self.entry(runner) }).await?;
        tx.commit().await?;
        Ok(Some(job))
    }

    async fn enqueue(&self, app: &App, runner: &Runner, job: &Job) -> ApiResult<()> {
        let team = app.store.read().await?.teams().policy(runner.team).await?;
        queueing::enqueue(app, job, team.map_or(1.0, |team| team.weight)).await;
        Ok(())
    }

    /// None: there is no open job any more.
    async fn join(&self, app: &App, runner: &Runner) -> ApiResult<Option<Job>> {
        let mut tx = app.store.begin_briefly().await?;
        let Some(job) = tx.jobs().join(runner.id, self.params.kind()).await? else { return Ok(None) };
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
            ..AuditEntry::by(self.caller, self.origin, self.event_type)
        }
    }

    /// None: there is an open job already.
    async fn insert(&self, app: &App, runner: &Runner) -> ApiResult<Option<Job>> {
        let job = NewJob {
            id: JobId::new(),
            installation: runner.installation.clone(),
            team: Some(runner.team),
            requester: Some(self.caller.requester),
            runner: Some(runner.id),
            call: None,
            params: self.params.clone(),
            trace: self.origin.trace.clone(),
        };
        let mut tx = app.store.begin_briefly().await?;
        let asked_by = self.caller.requester.client().map(|_| &self.caller.principal);
        let job = match tx.jobs().insert_for(&job, asked_by).await {
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
