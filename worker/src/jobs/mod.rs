//! Jobs, one file and one `run()` per kind. The outcome of a job is final, later, or lost to another start.

mod deprovision;
mod drift_check;
mod exact_name;
mod provision;
mod register;
mod runner_lookup;

use std::time::Duration;

use chrono::TimeDelta;
use domain::{
    BlockedOn, Job, JobParams, JobState, Problem, ProblemCode, Removal, busy_delay, error_chain, retry_delay,
};
use github::{GitHubError, RetryAdvice};
use installations::JobClient;
use store::{Counter, StoreError};

use crate::app::App;
pub(crate) use runner_lookup::Confirmations;

/// Longest delay of the job that hit a rate limit. Other jobs are paused as soon as the limit is published to Redis.
const RATE_LIMIT_DELAY: Duration = Duration::from_secs(1);

/// Delay of a job that only another worker can run.
const OTHER_WORKER_DELAY: TimeDelta = TimeDelta::seconds(5);

/// Outcome of a job.
#[derive(Debug)]
pub(crate) enum JobOutcome {
    /// The job succeeded and recorded its success together with its result.
    Recorded,
    /// Another start has taken over.
    Lost,
    /// GitHub has suspended the installation, with GitHub's message. The job waits until the suspension ends.
    Suspended(String),
    /// GitHub refuses the installation's calls until an operator acts.
    OperatorNeeded {
        /// GitHub's refusal.
        refusal: String,
        /// Outcome of this job.
        outcome: Box<JobOutcome>,
    },
    /// The job is over.
    Final(JobState, Option<Problem>),
    /// The job runs again later.
    Later {
        /// Time until then.
        delay: TimeDelta,
        /// Reason for the wait, as shown to callers.
        why: BlockedOn,
        /// Counts the wait as a failed attempt or as a snooze.
        count_as: Counter,
        /// Result of the job if its deadline comes first.
        problem: Problem,
    },
}

impl JobOutcome {
    pub(crate) fn failed(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self::Final(JobState::Failed, Some(Problem::new(code, detail)))
    }

    /// A failure that counts as an attempt.
    pub(crate) fn retry(job: &Job, problem: Problem) -> Self {
        let delay = retry_delay(job.attempts, rand::random());
        Self::Later { delay, why: BlockedOn::Retry, count_as: Counter::Attempt, problem }
    }

    /// The database was unavailable while the job ran.
    pub(crate) fn database_unavailable(job: &Job) -> Self {
        let detail = "Our database was unavailable.";
        Self::retry(job, Problem::new(ProblemCode::DatabaseUnavailable, detail).retry_after(5))
    }

    /// A newer version wrote a row that the job needs. A worker of that version may claim the job; this counts as no
    /// attempt.
    fn left_to_newer_version() -> Self {
        let (why, count_as) = (BlockedOn::Worker, Counter::Snooze);
        // The row keeps a code that every version knows.
        Self::Later { delay: OTHER_WORKER_DELAY, why, count_as, problem: Problem::job_expired() }
    }

    /// GitHub does not answer properly. This counts as no attempt, but the delay grows with each repetition.
    pub(crate) fn outage(job: &Job) -> Self {
        Self::Later {
            delay: retry_delay(job.snoozes + 1, rand::random()),
            why: BlockedOn::GithubOutage,
            count_as: Counter::Snooze,
            problem: unavailable(),
        }
    }
}

/// Outcome of a job, or the database error that interrupted it. Every GitHub response is an outcome.
pub(crate) type JobResult = Result<JobOutcome, StoreError>;

/// Runs a started job with the client of its claim, if this worker has the credential.
pub(crate) async fn run(app: &App, job: &Job, client: Option<&JobClient>) -> JobOutcome {
    let Some(client) = client else { return no_credential(job) };
    let github = &client.github;
    let ran = match &job.params {
        JobParams::Provision { name, work_folder } | JobParams::SealedProvision { name, work_folder, .. } => {
            provision::run(app, client, job, name, work_folder).await
        }
        JobParams::Register => register::run(app, github, job).await,
        JobParams::Deprovision(Removal::Runner | Removal::Leftover { .. }) => {
            deprovision::remove_runner(app, client, job, job.reclaim_reason()).await
        }
        JobParams::DriftCheck { source } => drift_check::run(app, client, job, *source).await,
        JobParams::Deprovision(Removal::Orphan { call, runner_name }) => {
            deprovision::remove_orphan(app, github, job, *call, runner_name).await
        }
    };
    let outcome = ran.unwrap_or_else(|error| match error {
        StoreError::Inconsistent(why) => {
            tracing::warn!(
                why,
                "this version cannot read a row that the job needs; it is left to a newer one"
            );
            JobOutcome::left_to_newer_version()
        }
        error => {
            tracing::warn!(error = %error_chain(&error), "the job was interrupted by a database error");
            JobOutcome::database_unavailable(job)
        }
    });
    if client.stands_in { left_to_other_worker(job, outcome) } else { outcome }
}

/// Returns the outcome of a job whose requester lost access to the team after the job was accepted, or `None`. It is
/// read before GitHub is called, so that no runner is made for them.
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

/// Leaves the job to a worker that has the credential, or to this one once it is configured. This counts as no attempt.
fn no_credential(job: &Job) -> JobOutcome {
    tracing::error!(installation = %job.installation,
        "this worker has no credential for the installation; the job is left to another worker");
    metrics::counter!("rts_jobs_without_credential_total").increment(1);
    JobOutcome::Later {
        delay: OTHER_WORKER_DELAY,
        why: BlockedOn::Worker,
        count_as: Counter::Snooze,
        problem: unavailable(),
    }
}

/// Returns the outcome of a job whose client stands in for another App. A wait for the budget of the stand-in does not
/// bind a worker that has the credential of the App that the claim chose, so the job returns to the queue sooner.
fn left_to_other_worker(job: &Job, outcome: JobOutcome) -> JobOutcome {
    let sooner = retry_delay(job.snoozes + 1, rand::random());
    match outcome {
        JobOutcome::Later { delay, why: BlockedOn::Budget, count_as, problem } if delay > sooner => {
            tracing::warn!(installation = %job.installation,
                "this worker lacks the credential of an App of the pool, and its own Apps must wait; the job is left to another worker");
            metrics::counter!("rts_jobs_without_credential_total").increment(1);
            JobOutcome::Later { delay: sooner, why: BlockedOn::Worker, count_as, problem }
        }
        outcome => outcome,
    }
}

/// Returns the outcome after an error that proves that GitHub did nothing.
fn after_error(job: &Job, error: &GitHubError) -> JobOutcome {
    tracing::warn!(%error, advice = ?error.retry_advice(), "GitHub call failed");
    match (error, error.retry_advice()) {
        (GitHubError::Suspended { message, .. }, _) => JobOutcome::Suspended(message.clone()),
        (GitHubError::TokenTooNew { .. }, RetryAdvice::Wait(wait)) => later(wait, BlockedOn::Retry),
        (GitHubError::Limited { .. }, RetryAdvice::Wait(wait)) => wait_for_budget(wait.min(RATE_LIMIT_DELAY)),
        (_, RetryAdvice::Wait(wait)) => wait_for_budget(wait),
        (GitHubError::Credential { .. }, _) => operator_needed(error, JobOutcome::outage(job)),
        (_, RetryAdvice::Retry | RetryAdvice::Unclear) => JobOutcome::outage(job),
        (_, RetryAdvice::Permanent) => JobOutcome::Final(JobState::Failed, Some(refused(error))),
        (_, RetryAdvice::NeedsOperator) => {
            tracing::error!(installation = %job.installation, %error, "GitHub refuses calls until an operator changes a setting or a permission");
            metrics::counter!("rts_github_operator_needed_total").increment(1);
            operator_needed(error, JobOutcome::Final(JobState::Failed, Some(refused(error))))
        }
    }
}

fn operator_needed(error: &GitHubError, outcome: JobOutcome) -> JobOutcome {
    JobOutcome::OperatorNeeded { refusal: error.to_string(), outcome: Box::new(outcome) }
}

fn refused(error: &GitHubError) -> Problem {
    let error = error.to_string();
    let subject = if error.starts_with("GitHub ") { "" } else { "GitHub refused: " };
    Problem::new(ProblemCode::GithubRefused, format!("{subject}{}.", error.trim_end_matches('.')))
}

fn wait_for_budget(wait: Duration) -> JobOutcome {
    later(wait, BlockedOn::Budget)
}

fn later(wait: Duration, why: BlockedOn) -> JobOutcome {
    let delay = TimeDelta::from_std(wait).unwrap_or_default();
    JobOutcome::Later { delay, why, count_as: Counter::Snooze, problem: unavailable() }
}

/// Waits for a runner that runs a workflow job. This counts as no attempt.
fn runner_busy(job: &Job) -> JobOutcome {
    JobOutcome::Later {
        delay: busy_delay(job.snoozes, rand::random()),
        why: BlockedOn::Busy,
        count_as: Counter::Snooze,
        problem: Problem::new(ProblemCode::RunnerBusy, "The runner ran a workflow job the whole time."),
    }
}
