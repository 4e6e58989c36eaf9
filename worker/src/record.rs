//! Records of job outcomes: one fenced transaction each, then a notification to waiting requests.

use std::time::Duration;

use domain::{BlockedOn, InstallationId, Job, JobId, JobKind, JobState, retry_delay};
use operations::{FailedJob, Operations, ReportedSuspension};
use queue::{Outcome, Reason};
use store::{Counter, Postponement, StoreError};
use tracing::Span;

use crate::{app::App, jobs::JobOutcome, run_claimed::Started};

/// Delay until the row is read again after the lease was lost.
const RECHECK_DELAY: Duration = Duration::from_secs(2);

/// Pause of an App that GitHub refuses while another App of its pool works. Then one job tries it again.
const REFUSED_PAUSE: Duration = Duration::from_mins(1);

/// Records an outcome and returns what the queue does with the job. `via` is the installation that sent its requests.
pub(crate) async fn record(
    app: &App,
    started: Started<'_>,
    via: &InstallationId,
    answer: JobOutcome,
) -> Result<Outcome, StoreError> {
    let job = started.job;
    let (state, error) = match answer {
        JobOutcome::Recorded => {
            announce_result(app, started, JobState::Succeeded).await;
            return Ok(Outcome::Done);
        }
        JobOutcome::Lost => return Ok(lease_lost()),
        JobOutcome::OperatorNeeded { refusal, outcome } => {
            app.store.conn().await?.installations().record_refusal(via, &job.installation, &refusal).await?;
            if leave_to_sibling(app, job, via).await {
                let delay = retry_delay(job.snoozes + 1, rand::random());
                let (why, failure) = (BlockedOn::Retry, Some(refusal.as_str()));
                let postponement = Postponement { delay, why, count_as: Counter::Snooze, failure };
                return postpone(app, job, &postponement).await;
            }
            return Box::pin(record(app, started, via, *outcome)).await;
        }
        JobOutcome::Suspended(message) => {
            record_suspension(app, job, via, &message).await?;
            let delay = retry_delay(job.snoozes + 1, rand::random());
            let why = BlockedOn::Paused;
            let failure = Some(message.as_str());
            let postponement = Postponement { delay, why, count_as: Counter::Snooze, failure };
            return postpone(app, job, &postponement).await;
        }
        // After the deadline no request waits for the job: the last failure is its result.
        JobOutcome::Later { delay, problem, .. } if job.now + delay >= job.deadline_at => {
            (JobState::Failed, Some(problem))
        }
        JobOutcome::Later { delay, why, count_as, problem } => {
            let failure = (count_as == Counter::Attempt).then(|| problem.to_string());
            let failure = failure.as_deref();
            return postpone(app, job, &Postponement { delay, why, count_as, failure }).await;
        }
        JobOutcome::Final(state, error) => (state, error),
    };
    let mut tx = app.store.begin().await?;
    if !tx.jobs().finish(job, state, error.as_ref()).await? {
        return Ok(lease_lost());
    }
    if state != JobState::Succeeded {
        FailedJob::from(job).record(&mut tx, "its job failed", error.as_ref()).await?;
    }
    tx.commit().await?;
    announce_result(app, started, state).await;
    Ok(Outcome::Done)
}

/// Keeps the job in the queue until its row is final. If the lease is still ours, the fence was moved by a start whose
/// response this worker did not get.
fn lease_lost() -> Outcome {
    tracing::warn!("another start has taken over, or the job is over; nothing was recorded");
    Outcome::Later(RECHECK_DELAY)
}

/// Records that GitHub has suspended the installation that sent the job's requests.
async fn record_suspension(
    app: &App,
    job: &Job,
    via: &InstallationId,
    message: &str,
) -> Result<(), StoreError> {
    let (github_id, github) = (app.installations.github_id(via), app.installations.get(via));
    let (Some(github_id), Some(github)) = (github_id, github) else { return Ok(()) };
    let reported = ReportedSuspension {
        installation: via,
        pool: &job.installation,
        github_id,
        at: github.now(),
        message,
    };
    Operations::new(&app.store, &app.queue).record_suspension(reported).await
}

/// Pauses an App of a pool that GitHub refuses, if another App of the pool is usable. Returns whether it is: then the
/// job goes on with that one, here or in a worker that has its credential.
async fn leave_to_sibling(app: &App, job: &Job, via: &InstallationId) -> bool {
    let sibling = async {
        let usable = app.queue.usable_apps(&job.installation).await?;
        let has_sibling = usable.iter().any(|one| one != via);
        if has_sibling {
            app.queue.pause(via, REFUSED_PAUSE, Reason::Refused).await?;
        }
        Ok::<_, queue::QueueError>(has_sibling)
    };
    sibling.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the queue is unavailable; the App that GitHub refuses is not paused");
        false
    })
}

async fn postpone(app: &App, job: &Job, postponement: &Postponement<'_>) -> Result<Outcome, StoreError> {
    let ours = app.store.conn().await?.jobs().postpone(job, postponement).await?;
    if !ours {
        return Ok(lease_lost());
    }
    let Postponement { delay, why, .. } = postponement;
    tracing::info!(delay_ms = delay.num_milliseconds(), blocked_on = %why, "postponed");
    announce(app, job, JobState::Queued).await;
    Ok(Outcome::Later(delay.to_std().unwrap_or_default()))
}

async fn announce_result(app: &App, started: Started<'_>, state: JobState) {
    let job = started.job;
    if (job.kind, state) == (JobKind::Provision, JobState::Succeeded) {
        metrics::histogram!("rts_config_seconds").record(started.age().as_secs_f64());
    }
    metrics::counter!("rts_jobs_finished_total", "kind" => job.kind.as_str(), "state" => state.as_str())
        .increment(1);
    Span::current().record("state", state.as_str());
    tracing::info!(state = %state, "finished");
    announce(app, job, state).await;
}

/// Notifies followers of a job that it runs.
pub(crate) async fn announce_start(app: App, job: JobId) {
    if let Err(error) = app.queue.announce(job, JobState::Running.as_str()).await {
        tracing::debug!(%job, %error, "the start could not be announced");
    }
}

async fn announce(app: &App, job: &Job, state: JobState) {
    if let Err(error) = app.queue.announce(job.id, state.as_str()).await {
        tracing::debug!(%error, "not announced; waiting requests see it at their next poll");
    }
}
