//! One claimed job from its start to its answer.

use std::{panic::AssertUnwindSafe, time::Duration};

use chrono::TimeDelta;
use domain::{BlockedOn, Job, JobState, NotRunnable, Problem, ProblemCode};
use futures::FutureExt;
use installations::ClaimedJob;
use queue::{Claimed, Outcome};
use store::{Counter, StoreError};
use tokio::time::{error::Elapsed, sleep, timeout};
use tracing::Instrument;

use crate::{
    app::App,
    jobs::{self, JobOutcome},
    record,
};

/// A job waits this long when the database is away.
const DATABASE_RETRY_DELAY: Duration = Duration::from_secs(2);
/// A job of a newer version waits this long: a worker of that version may claim it then.
const UNREADABLE: Duration = Duration::from_secs(30);
/// Between two tries to give a row back.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Why a row could not be read or written.
#[derive(Debug, thiserror::Error)]
enum RowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the database did not answer in time")]
    TimedOut(#[from] Elapsed),
}

/// Reads or writes a row for as long as a worker has patience.
async fn within_timeout<T>(
    app: &App,
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, RowError> {
    Ok(timeout(app.timeouts.database, step).await??)
}

/// Starts the job in its row, runs it, records what came of it. Ends in time whatever is away.
pub(crate) async fn handle(app: &App, claimed: Claimed) -> Outcome {
    claimed.prepaid.mark_unused();
    let started = match within_timeout(app, start(app, &claimed)).await {
        Ok(started) => started,
        Err(RowError::Store(StoreError::Inconsistent(why))) => {
            tracing::warn!(job = %claimed.lease.job, why, "this version cannot read the job; it is left to a newer one");
            return Outcome::Later(UNREADABLE);
        }
        Err(error) => {
            tracing::warn!(job = %claimed.lease.job, %error, "a job could not be started");
            return Outcome::Later(DATABASE_RETRY_DELAY);
        }
    };
    // Final or unknown: the queue was behind the row.
    let Some(job) = started else { return Outcome::Done };
    let span = tracing::info_span!("job", job = %job.id, kind = %job.kind, team = ?job.team.map(|team| team.to_string()),
        trace_id = job.trace.as_deref().and_then(|trace| trace.split('-').nth(1)), fence = job.fence);
    let begun = std::time::Instant::now();
    let outcome = run_started(app, &claimed, &job).instrument(span).await;
    metrics::histogram!("rts_job_seconds", "kind" => job.kind.as_str()).record(begun.elapsed().as_secs_f64());
    outcome
}

async fn start(app: &App, claimed: &Claimed) -> Result<Option<Job>, StoreError> {
    let lease = &claimed.lease;
    app.store.conn().await?.jobs().start(lease.job, &app.name, lease.was_given_back()).await
}

async fn run_started(app: &App, claimed: &Claimed, job: &Job) -> Outcome {
    let waited = (job.now - job.created_at).num_milliseconds();
    tracing::info!(attempt = job.attempts, rescues = job.rescues, waited_ms = waited, "started");
    // Beside the work: streams show the start, and nothing waits for it.
    tokio::spawn(record::announce_start(app.clone(), job.id));
    let answer = if let Err(unfit) = job.check_runnable() {
        not_runnable(unfit)
    } else {
        // What was paid for is the lane's dearest request, whatever the row says.
        let held = ClaimedJob { job: job.id, lane: claimed.lease.lane, since: claimed.since };
        let prepaid = claimed.prepaid.clone();
        let work = AssertUnwindSafe(installations::with_prepaid_call_of(prepaid, held, jobs::run(app, job)))
            .catch_unwind();
        tokio::select! {
            biased;
            () = claimed.cancelled.cancelled() => return on_lease_lost(app, job).await,
            () = app.forced().cancelled() => return on_shutdown(app, job).await,
            done = timeout(app.timeouts.job, work) => match done {
                Ok(done) => done.unwrap_or_else(|_| panicked(job)),
                Err(_) => timed_out(job),
            },
        }
    };
    match within_timeout(app, record::record(app, job, answer)).await {
        Ok(outcome) => outcome,
        Err(error) => {
            let ours = requeue_row(app, job, DATABASE_RETRY_DELAY).await;
            tracing::warn!(%error, ours, "the result could not be recorded; the job starts again and finds out what is true");
            Outcome::Later(DATABASE_RETRY_DELAY)
        }
    }
}

fn not_runnable(unfit: NotRunnable) -> JobOutcome {
    match unfit {
        NotRunnable::Poisoned => {
            let detail = "The job's worker died three times while it ran; it is not tried again.";
            JobOutcome::Final(JobState::Failed, Some(Problem::new(ProblemCode::JobPoisoned, detail)))
        }
        NotRunnable::Expired => JobOutcome::Final(JobState::Expired, Some(Problem::job_expired())),
    }
}

fn panicked(job: &Job) -> JobOutcome {
    tracing::error!("the job panicked");
    let detail = "Something went wrong on our side; it has been logged.";
    JobOutcome::retry(job, Problem::new(ProblemCode::InternalError, detail))
}

/// GitHub's answers have time-outs of their own; what is left to wait for is the database.
fn timed_out(job: &Job) -> JobOutcome {
    tracing::warn!("the job took too long and was stopped");
    JobOutcome::database_unavailable(job)
}

/// The lease is lost, and nobody died.
async fn on_lease_lost(app: &App, job: &Job) -> Outcome {
    let ours = requeue_row(app, job, Duration::ZERO).await;
    tracing::warn!(ours, "the lease was lost; whoever has the job next goes on from the row");
    Outcome::Release
}

/// A row that nobody has started since waits again, so that its next start is no rescue, whatever the queue forgets, and
/// its deadline ends it. Every connection that broke costs a try. False: somebody else has it, or the database stays away.
async fn requeue_row(app: &App, job: &Job, delay: Duration) -> bool {
    let delay = TimeDelta::from_std(delay).unwrap_or_default();
    let postpone = || async {
        let mut conn = app.store.conn().await?;
        conn.jobs().postpone(job, delay, BlockedOn::Worker, Counter::Snooze).await
    };
    let trying = async {
        loop {
            match postpone().await {
                Ok(ours) => return ours,
                Err(error) => tracing::debug!(%error, "the row was not given back"),
            }
            sleep(RETRY_PAUSE).await;
        }
    };
    tokio::select! {
        () = app.forced().cancelled() => false,
        ours = timeout(app.timeouts.database, trying) => ours.unwrap_or(false),
    }
}

/// The process must end now: the job goes back as if it had not been started.
async fn on_shutdown(app: &App, job: &Job) -> Outcome {
    let released = async { app.store.conn().await?.jobs().release(job).await };
    match within_timeout(app, released).await {
        Ok(_) => tracing::info!("given back: the process ends"),
        Err(error) => tracing::warn!(%error, "could not be given back; it starts again when the lease ends"),
    }
    Outcome::Release
}
