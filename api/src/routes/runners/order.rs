//! Sending a job after one runner. One open job of a kind is enough for all who ask.

use domain::{
    AuditEntry, Caller, Job, JobId, JobParams, Origin, Problem, ProblemCode, Runner, RunnerId, RunnerStatus,
};
use store::NewJob;

use crate::{app::App, error::ApiResult, queueing};

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

/// The runner, if the caller may act on it and it is on GitHub.
pub(super) async fn target(app: &App, caller: &Caller, id: RunnerId) -> ApiResult<Runner> {
    let runner = app.store.read().await?.runners().get(id).await?;
    let runner = runner
        .filter(|runner| caller.may_see(Some(runner.team), Some(runner.provisioned_by)))
        .ok_or_else(|| Problem::not_found("runner"))?;
    let (code, detail) = match runner.status {
        RunnerStatus::Deleted => (ProblemCode::RunnerDeleted, "The runner is deleted already."),
        RunnerStatus::Requested => {
            (ProblemCode::RunnerBusy, "The runner is still being made; cancel its job instead.")
        }
        _ => return Ok(runner),
    };
    Err(Problem::new(code, detail).into())
}

impl Order<'_> {
    /// Commits the job and its audit row, or finds the open job that does the same. True: it is ours.
    pub(super) async fn place(&self, app: &App, runner: &Runner) -> ApiResult<(Job, bool)> {
        let kind = self.params.kind();
        for _ in 0..TRIES {
            if let Some(job) = self.insert(app, runner).await? {
                let team = app.store.read().await?.teams().policy(runner.team).await?;
                queueing::enqueue(app, &job, team.map_or(1.0, |team| team.weight)).await;
                return Ok((job, true));
            }
            if let Some(job) = app.store.read().await?.jobs().open_about(runner.id, kind).await? {
                return Ok((job, false));
            }
        }
        let detail = "The runner's jobs come and go too fast; try again.";
        Err(Problem::new(ProblemCode::RunnerBusy, detail).retry_after(1).into())
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
        let mut tx = app.store.begin().await?;
        let job = match tx.jobs().insert(&job).await {
            Ok(job) => job,
            Err(error) if matches!(error.constraint(), Some(OPEN_DEPROVISION | OPEN_DRIFT_CHECK)) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let entry = AuditEntry {
            runner: Some(runner.id),
            runner_name: Some(runner.name.clone()),
            team: Some(runner.team),
            job: Some(job.id),
            ..AuditEntry::by(self.caller, self.origin, self.event_type)
        };
        tx.audit().write(&entry).await?;
        tx.commit().await?;
        Ok(Some(job))
    }
}

const OPEN_DEPROVISION: &str = "jobs_one_open_deprovision";
const OPEN_DRIFT_CHECK: &str = "jobs_one_open_drift_check";
