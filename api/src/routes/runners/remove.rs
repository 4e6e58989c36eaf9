//! Removal of runners: `DELETE /runners/{id}`.

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

use super::provision::{Accepted, accepted_response};
use crate::{
    app::AppState, body::Id, caller::Authorised, error::ApiResult, openapi::problems, origin::RequestOrigin,
    prefer::Prefer, routes::jobs::failure_of, waiting,
};

/// Maximum number of jobs that one request waits for.
const MAX_JOBS: usize = 3;

/// A removed runner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Removed {
    /// Our id of the runner.
    pub(crate) runner_id: Uuid,
    /// Name of the runner, which is free again.
    pub(crate) runner_name: String,
    /// Always true: failures are problems.
    pub(crate) success: bool,
    /// Message for people.
    pub(crate) message: String,
}

problems! {
    RemoveProblems: NotFound, RunnerBusy, RunnerDeleted, JobCancelled, ValidationFailed, JobPoisoned, GithubRefused,
        GithubUnavailable, JobExpired;
}

/// Remove a runner.
///
/// The response comes at once with the job that removes the runner; the job waits while the runner is busy. With
/// `Prefer: wait=N` the response is the result. A busy runner is then `runner_busy` and is not removed.
#[utoipa::path(
    delete, path = "/runners/{runner_id}", tag = "runners",
    params(
        ("runner_id" = Uuid, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s) or `respond-async`"),
    ),
    responses(
        (status = 200, description = "Removed within the wait", body = Removed,
            headers(("Preference-Applied" = String))),
        (status = 202, description = "Accepted; further requests share the job while it is open", body = Accepted,
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
        return accepted_response(&app, job).await;
    }
    for _ in 0..MAX_JOBS {
        job = wait_for_job(&app, &caller, job, until).await?;
        if job.state != JobState::Succeeded {
            break;
        }
        if is_gone(&app, id).await? {
            return Ok(prefer.confirm(Json(removed(runner)).into_response()));
        }
        // The job was about to end and spared the runner, because no caller had requested the removal by then.
        job = request.submit_or_join(&app.operations(), &runner).await?;
    }
    if !waits_for_runner(&job) {
        return match failure_of(&job) {
            Some(problem) => Err(problem.into()),
            None => accepted_response(&app, job).await,
        };
    }
    // The caller learns that nothing happens, so nothing may happen later. A job that other callers wait for goes on.
    match app.operations().leave_job(by, job.id).await? {
        Some(left) => Err(busy_problem(left.state.is_final()).into()),
        None => accepted_response(&app, job).await,
    }
}

/// Waits until the job is final, waits for its runner, or the time is over.
async fn wait_for_job(app: &AppState, caller: &Caller, job: Job, until: Instant) -> ApiResult<Job> {
    let left = until.saturating_duration_since(Instant::now());
    let condition = |job: &Job| job.state.is_final() || waits_for_runner(job);
    Ok(waiting::wait_until(app, caller, job.id, left, condition).await?.unwrap_or(job))
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
        message: "The runner was removed from GitHub.".to_owned(),
    }
}

fn waits_for_runner(job: &Job) -> bool {
    job.state == JobState::Queued && job.blocked_on == Some(BlockedOn::Busy)
}

fn busy_problem(cancelled: bool) -> Problem {
    let detail = if cancelled {
        "The runner runs a workflow job; nothing was removed. Without `Prefer: wait` the removal waits for its end."
    } else {
        "The runner runs a workflow job; a removal that another caller requested waits for its end."
    };
    Problem::new(ProblemCode::RunnerBusy, detail).retry_after(30)
}
