//! `DELETE /runners/{id}`.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use domain::{BlockedOn, Caller, Job, JobState, Problem, ProblemCode, Runner, RunnerId, RunnerStatus};
use operations::{Actor, RunnerJobRequest};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::provision::{Accepted, accepted};
use crate::{
    app::AppState, body::Id, caller::Authorised, error::ApiResult, openapi::problems, origin::RequestOrigin,
    prefer::Prefer, routes::jobs::ended, waiting,
};

/// Jobs waited for by one request.
const TRIES: usize = 3;

/// A runner that was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Removed {
    /// Our id of it.
    runner_id: Uuid,
    /// Its name, free again.
    runner_name: String,
    /// Always true: failures are problems.
    success: bool,
    /// A sentence for a person.
    message: String,
}

problems! {
    RemoveProblems: NotFound, RunnerBusy, RunnerDeleted, JobCancelled, ValidationFailed, JobPoisoned, GithubRefused,
        GithubUnavailable, JobExpired;
}

/// Remove a runner.
///
/// Answers at once with the job that removes it; the job waits while the runner runs a workflow job. With
/// `Prefer: wait=N` the answer is the result, and a busy runner is `runner_busy` and left alone.
#[utoipa::path(
    delete, path = "/runners/{runner_id}", tag = "runners",
    params(
        ("runner_id" = Uuid, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s) or `respond-async`"),
    ),
    responses(
        (status = 200, description = "Removed within the time to wait", body = Removed,
            headers(("Preference-Applied" = String))),
        (status = 202, description = "Accepted; the same job for all who ask while it is open", body = Accepted,
            headers(("Location" = String, description = "The job"), ("Retry-After" = u64, description = "Seconds"))),
        RemoveProblems,
    ),
)]
pub(crate) async fn remove(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    prefer: Prefer,
    Id(id): Id<RunnerId>,
) -> ApiResult<Response> {
    let by = Actor { caller: &caller, origin: &origin };
    let request = RunnerJobRequest::removal(by);
    let runner = request.authorize(&app.operations(), id).await?;
    let until = Instant::now() + prefer.wait;
    let mut job = request.submit_or_join(&app.operations(), &runner).await?;
    if prefer.wait.is_zero() {
        return accepted(&app, job).await;
    }
    for _ in 0..TRIES {
        job = wait(&app, &caller, job, until).await?;
        if job.state != JobState::Succeeded {
            break;
        }
        if is_gone(&app, id).await? {
            return Ok(prefer.confirm(Json(removed(runner)).into_response()));
        }
        // The job was about to end, and nobody had asked for the runner when it looked: it was spared.
        job = request.submit_or_join(&app.operations(), &runner).await?;
    }
    if !waits_for_runner(&job) {
        return match ended(&job) {
            Some(problem) => Err(problem.into()),
            None => accepted(&app, job).await,
        };
    }
    // Whoever waits is told that nothing happens, so nothing may happen later. A job others count on goes on.
    match app.operations().leave_job(by, job.id).await? {
        Some(left) => Err(busy(left.state.is_final()).into()),
        None => accepted(&app, job).await,
    }
}

/// The job once it is over, waits for its runner, or the time is.
async fn wait(app: &AppState, caller: &Caller, job: Job, until: Instant) -> ApiResult<Job> {
    let left = until.saturating_duration_since(Instant::now());
    let wished = |job: &Job| job.state.is_final() || waits_for_runner(job);
    Ok(waiting::until(app, caller, (job.id, left), wished).await?.unwrap_or(job))
}

async fn is_gone(app: &AppState, id: RunnerId) -> ApiResult<bool> {
    let runner = app.store.conn().await?.runners().get(id).await?;
    Ok(runner.is_none_or(|runner| runner.status == RunnerStatus::Deleted))
}

fn removed(runner: Runner) -> Removed {
    Removed {
        runner_id: runner.id.uuid(),
        runner_name: runner.name,
        success: true,
        message: "The runner is removed from GitHub.".to_owned(),
    }
}

fn waits_for_runner(job: &Job) -> bool {
    job.state == JobState::Queued && job.blocked_on == Some(BlockedOn::Busy)
}

fn busy(cancelled: bool) -> Problem {
    let detail = if cancelled {
        "The runner runs a workflow job; nothing was removed. Without `Prefer: wait` the removal waits for its end."
    } else {
        "The runner runs a workflow job; a job somebody else asked for waits for its end."
    };
    Problem::new(ProblemCode::RunnerBusy, detail).retry_after(30)
}
