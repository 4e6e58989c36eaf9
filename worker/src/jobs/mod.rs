//! One job, one file, one `run()`. A job answers in three words: final, later, or lost to another start.

mod deprovision;
mod drift_check;
mod provision;
mod register;
mod runner_lookup;

use std::time::Duration;

use chrono::TimeDelta;
use domain::{
    BlockedOn, Job, JobParams, JobState, Problem, ProblemCode, Removal, busy_delay, error_chain, retry_delay,
};
use github::{GitHubError, RetryAdvice};
use store::{Counter, StoreError};

use crate::app::App;
pub(crate) use runner_lookup::Confirmations;

/// A limit holds everybody up as soon as everybody has heard of it; until then it holds up the job that met it.
const RATE_LIMIT_DELAY: Duration = Duration::from_secs(1);

/// How long a job waits that this worker cannot do.
const OTHER_WORKER_DELAY: TimeDelta = TimeDelta::seconds(5);

/// What came of a job.
#[derive(Debug)]
pub(crate) enum JobOutcome {
    /// Succeeded, and the job has recorded that itself, together with its result.
    Recorded,
    /// Another start has taken over.
    Lost,
    /// GitHub has suspended the installation; its words. The job waits until that is over.
    Suspended(String),
    /// Final.
    Final(JobState, Option<Problem>),
    /// Not now.
    Later {
        /// How long not.
        delay: TimeDelta,
        /// Why, for whoever looks at the job meanwhile.
        why: BlockedOn,
        /// Whether it counts as a failure.
        count_as: Counter,
        /// The result, if there is no time left to try again.
        problem: Problem,
    },
}

impl JobOutcome {
    pub(crate) fn failed(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self::Final(JobState::Failed, Some(Problem::new(code, detail)))
    }

    /// A failure worth another attempt.
    pub(crate) fn retry(job: &Job, problem: Problem) -> Self {
        let delay = retry_delay(job.attempts, rand::random());
        Self::Later { delay, why: BlockedOn::Retry, count_as: Counter::Attempt, problem }
    }

    /// The database kept the job from its answer.
    pub(crate) fn database_unavailable(job: &Job) -> Self {
        let detail = "Our database was unavailable.";
        Self::retry(job, Problem::new(ProblemCode::DatabaseUnavailable, detail).retry_after(5))
    }

    /// GitHub does not answer properly: nobody's failure, so it burns no attempt, but the gaps grow all the same.
    pub(crate) fn outage(job: &Job) -> Self {
        Self::Later {
            delay: retry_delay(job.snoozes + 1, rand::random()),
            why: BlockedOn::GithubOutage,
            count_as: Counter::Snooze,
            problem: unavailable(),
        }
    }
}

/// What keeps a job from an answer: only the database, since everything GitHub says is an answer.
pub(crate) type JobResult = Result<JobOutcome, StoreError>;

/// Runs a started job.
pub(crate) async fn run(app: &App, job: &Job) -> JobOutcome {
    let ran = match &job.params {
        JobParams::Provision { name, work_folder } => provision::run(app, job, name, work_folder).await,
        JobParams::Register => register::run(app, job).await,
        JobParams::Deprovision(Removal::Runner | Removal::Leftover { .. }) => {
            deprovision::remove_runner(app, job, job.reclaim_reason()).await
        }
        JobParams::DriftCheck { source } => drift_check::run(app, job, *source).await,
        JobParams::Deprovision(Removal::Orphan { call, runner_name }) => {
            deprovision::remove_orphan(app, job, *call, runner_name).await
        }
    };
    ran.unwrap_or_else(|error| {
        tracing::warn!(error = %error_chain(&error), "the job was interrupted by the database");
        JobOutcome::database_unavailable(job)
    })
}

/// The answer to a job whose requester lost their access to the team after it was accepted; none while they have it.
/// Read before GitHub is called, so that nothing is made for them.
async fn access_ended(app: &App, job: &Job) -> Result<Option<JobOutcome>, StoreError> {
    let (Some(requester), Some(team)) = (job.requester, job.team) else { return Ok(None) };
    let access = app.store.conn().await?.permissions().access(requester, team).await?;
    let problem = match access.map(|access| access.check(job.kind)) {
        Some(Ok(())) => return Ok(None),
        Some(Err(problem)) => problem,
        None => Problem::requester_inactive(),
    };
    tracing::info!(code = problem.code.as_str(), "the requester's access has ended");
    Ok(Some(JobOutcome::Final(JobState::Failed, Some(problem))))
}

fn unavailable() -> Problem {
    Problem::new(ProblemCode::GithubUnavailable, "GitHub did not answer properly in time; try again later.")
        .retry_after(60)
}

/// Nobody's failure: another worker may have it, or this one once it is configured.
fn no_credential(job: &Job) -> JobOutcome {
    tracing::error!(installation = %job.installation,
        "this worker has no credential for the installation; the job is left to one that has");
    metrics::counter!("rts_jobs_without_credential_total").increment(1);
    JobOutcome::Later {
        delay: OTHER_WORKER_DELAY,
        why: BlockedOn::Worker,
        count_as: Counter::Snooze,
        problem: unavailable(),
    }
}

/// The answer to an error after which it is certain that nothing happened on GitHub.
fn after_error(job: &Job, error: &GitHubError) -> JobOutcome {
    tracing::warn!(%error, verdict = ?error.retry_advice(), "GitHub did not do it");
    match (error, error.retry_advice()) {
        (GitHubError::Suspended { message }, _) => JobOutcome::Suspended(message.clone()),
        (GitHubError::TokenTooNew { .. }, RetryAdvice::Wait(wait)) => later(wait, BlockedOn::Retry),
        (GitHubError::Limited { .. }, RetryAdvice::Wait(wait)) => held(wait.min(RATE_LIMIT_DELAY)),
        (_, RetryAdvice::Wait(wait)) => held(wait),
        (GitHubError::Credential { .. }, _) | (_, RetryAdvice::Retry | RetryAdvice::Unclear) => {
            JobOutcome::outage(job)
        }
        (_, RetryAdvice::Permanent | RetryAdvice::NeedsOperator) => {
            if error.retry_advice() == RetryAdvice::NeedsOperator {
                tracing::error!(installation = %job.installation, %error, "GitHub refuses us until somebody changes something");
                metrics::counter!("rts_github_operator_needed_total").increment(1);
            }
            JobOutcome::failed(ProblemCode::GithubRefused, format!("GitHub refused: {error}."))
        }
    }
}

fn held(wait: Duration) -> JobOutcome {
    later(wait, BlockedOn::Budget)
}

fn later(wait: Duration, why: BlockedOn) -> JobOutcome {
    let delay = TimeDelta::from_std(wait).unwrap_or_default();
    JobOutcome::Later { delay, why, count_as: Counter::Snooze, problem: unavailable() }
}

/// The runner runs a workflow job: nobody's failure.
fn runner_busy(job: &Job) -> JobOutcome {
    JobOutcome::Later {
        delay: busy_delay(job.snoozes, rand::random()),
        why: BlockedOn::Busy,
        count_as: Counter::Snooze,
        problem: Problem::new(ProblemCode::RunnerBusy, "The runner ran a workflow job the whole time."),
    }
}
