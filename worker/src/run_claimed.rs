//! Course of one claimed job, from its start to its outcome.
//!
//! The start raises the fence of the job's row, so that a result is written only by the newest start. Each step has a
//! time limit: the job ends or returns to the queue even if the database or GitHub does not respond.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use domain::{BlockedOn, Job, JobState, NotRunnable, Problem, ProblemCode};
use futures::FutureExt;
use installations::ClaimedJob;
use queue::{Claimed, Outcome};
use runtime::{
    trace::TraceContext,
    traces::{self, SpanPlace},
};
use store::{Counter, Postponement, StoreError};
use tokio::time::{error::Elapsed, sleep, timeout};
use tracing::{Instrument, Span};

use crate::{
    app::App,
    jobs::{self, JobOutcome},
    record,
};

/// Delay of a job while the database is unavailable.
const DATABASE_RETRY_DELAY: Duration = Duration::from_secs(2);
/// Delay of a job of a newer version: a worker of that version may claim it then.
const UNREADABLE_JOB_DELAY: Duration = Duration::from_secs(30);
/// Pause between two attempts to put a row back.
const REQUEUE_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Fence of a job's first start.
const FIRST_FENCE: i64 = 1;

/// A job whose start is in its row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started<'j> {
    /// The job as of its start.
    pub(crate) job: &'j Job,
    /// Time of the start, by this machine's monotonic clock.
    pub(crate) begun: Instant,
}

impl Started<'_> {
    /// Returns the time from the job's acceptance to this start, by the database's clock.
    fn waited(self) -> Duration {
        (self.job.now - self.job.created_at).to_std().unwrap_or_default()
    }

    /// Returns the time from the job's acceptance until now.
    pub(crate) fn age(self) -> Duration {
        self.waited() + self.begun.elapsed()
    }
}

/// Reason why a row could not be read or written.
#[derive(Debug, thiserror::Error)]
enum RowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the database did not answer in time")]
    TimedOut(#[from] Elapsed),
}

/// Runs a database step within the worker's time limit.
async fn within_timeout<T>(
    app: &App,
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, RowError> {
    Ok(timeout(app.timeouts.database, step).await??)
}

/// Starts the job in its row, runs it and records its outcome. Ends in bounded time even if the database or GitHub is
/// unavailable.
pub(crate) async fn run_claimed(app: &App, claimed: Claimed) -> Outcome {
    claimed.prepaid.mark_unused();
    let started = match within_timeout(app, start(app, &claimed)).await {
        Ok(started) => started,
        Err(RowError::Store(StoreError::Inconsistent(why))) => {
            tracing::warn!(job = %claimed.lease.job, why, "this version cannot read the job; it is left to a newer one");
            return Outcome::Later(UNREADABLE_JOB_DELAY);
        }
        Err(error) => {
            tracing::warn!(job = %claimed.lease.job, %error, "a job could not be started");
            return Outcome::Later(DATABASE_RETRY_DELAY);
        }
    };
    // The row is final or does not exist: the queue was behind.
    let Some(job) = started else { return Outcome::Done };
    let span = job_span(&job);
    let begun = Instant::now();
    let outcome = run_started(app, &claimed, Started { job: &job, begun }).instrument(span).await;
    metrics::histogram!("rts_job_seconds", "kind" => job.kind.as_str()).record(begun.elapsed().as_secs_f64());
    outcome
}

/// Returns the span of a job's start, in the trace of its request. The request has ended before, so it is linked too.
fn job_span(job: &Job) -> Span {
    let asked = job.trace.as_deref().and_then(|trace| trace.parse::<TraceContext>().ok());
    let own = asked.map_or_else(TraceContext::generate, TraceContext::child);
    let span = tracing::info_span!("job", job = %job.id, kind = %job.kind, lane = %job.kind.lane(),
        team = ?job.team.map(|team| team.to_string()), trace_id = own.trace_id(), fence = job.fence,
        state = tracing::field::Empty);
    traces::place(&span, SpanPlace { own, parent: asked, linked: true });
    span
}

async fn start(app: &App, claimed: &Claimed) -> Result<Option<Job>, StoreError> {
    let lease = &claimed.lease;
    app.store.conn().await?.jobs().start(lease.job, &app.name, lease.was_given_back()).await
}

async fn run_started(app: &App, claimed: &Claimed, started: Started<'_>) -> Outcome {
    let job = started.job;
    let waited = started.waited();
    tracing::info!(attempt = job.attempts, rescues = job.rescues, waited_ms = waited.as_millis(), "started");
    if job.fence == FIRST_FENCE {
        metrics::histogram!("rts_job_wait_seconds", "kind" => job.kind.as_str()).record(waited.as_secs_f64());
    }
    // In a task of its own: streams show the start, and nothing waits for that.
    tokio::spawn(record::announce_start(app.clone(), job.id));
    let mut client = None;
    let answer = if let Err(unfit) = job.check_runnable() {
        not_runnable(unfit)
    } else {
        // The prepaid call is the lane's most expensive one, independent of the row.
        let held = ClaimedJob { job: job.id, lane: claimed.lease.lane, since: claimed.since };
        let paid_by = &claimed.lease.app;
        client =
            app.installations.client_for_job(&job.installation, paid_by, held, claimed.prepaid.clone()).await;
        let work = AssertUnwindSafe(jobs::run(app, job, client.as_ref())).catch_unwind();
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
    let via = client.as_ref().map_or(&job.installation, |client| &client.app);
    match within_timeout(app, record::record(app, started, via, answer)).await {
        Ok(outcome) => outcome,
        Err(error) => {
            let ours = requeue_row(app, job, DATABASE_RETRY_DELAY).await;
            tracing::warn!(%error, ours, "the result could not be recorded; the job starts again and checks what was done");
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

/// GitHub calls have time-outs of their own, so only the database can have taken that long.
fn timed_out(job: &Job) -> JobOutcome {
    tracing::warn!("the job took too long and was stopped");
    JobOutcome::database_unavailable(job)
}

/// Puts the row back after the lease was lost, so that the next start does not count as a rescue.
async fn on_lease_lost(app: &App, job: &Job) -> Outcome {
    let ours = requeue_row(app, job, Duration::ZERO).await;
    tracing::warn!(ours, "the lease was lost; the next worker continues from the row");
    Outcome::Release
}

/// Sets a row back to queued unless another start owns it. Its next start then counts as no rescue, even if the queue
/// loses the job, and its deadline ends it. Retries on each broken connection. Returns false if another start owns the
/// job or the database stays unavailable.
async fn requeue_row(app: &App, job: &Job, delay: Duration) -> bool {
    let delay = TimeDelta::from_std(delay).unwrap_or_default();
    let (why, count_as) = (BlockedOn::Worker, Counter::Snooze);
    let postponement = Postponement { delay, why, count_as, failure: None };
    let postpone = || async {
        let mut conn = app.store.conn().await?;
        conn.jobs().postpone(job, &postponement).await
    };
    let trying = async {
        loop {
            match postpone().await {
                Ok(ours) => return ours,
                Err(error) => tracing::debug!(%error, "the row could not be set back to queued"),
            }
            sleep(REQUEUE_RETRY_PAUSE).await;
        }
    };
    tokio::select! {
        () = app.forced().cancelled() => false,
        ours = timeout(app.timeouts.database, trying) => ours.unwrap_or(false),
    }
}

/// Gives the job back before the process ends, as if it had not been started.
async fn on_shutdown(app: &App, job: &Job) -> Outcome {
    let released = async { app.store.conn().await?.jobs().release(job).await };
    match within_timeout(app, released).await {
        Ok(_) => tracing::info!("the job was given back because the process ends"),
        Err(error) => {
            tracing::warn!(%error, "the job could not be given back; it starts again when its lease ends");
        }
    }
    Outcome::Release
}
