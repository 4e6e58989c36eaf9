//! `DELETE /runners/{id}`.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use domain::{BlockedOn, Job, JobParams, JobState, Problem, ProblemCode, Removal, RunnerId};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    order::{Order, target},
    provision::{Accepted, accepted},
};
use crate::{
    app::App,
    body::Id,
    caller::Authorised,
    error::ApiResult,
    openapi::problems,
    origin::From_,
    prefer::Prefer,
    routes::jobs::{ended, withdraw},
    waiting,
};

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
    State(app): State<App>,
    Authorised(caller): Authorised,
    From_(origin): From_,
    prefer: Prefer,
    Id(id): Id<RunnerId>,
) -> ApiResult<Response> {
    let runner = target(&app, &caller, id).await?;
    let params = JobParams::Deprovision(Removal::Runner);
    let order = Order { caller: &caller, origin: &origin, params, event_type: "runner.deprovision" };
    let (job, ours) = order.place(&app, &runner).await?;
    if prefer.wait.is_zero() {
        return accepted(&app, job).await;
    }
    let job = waiting::until(&app, job.id, prefer.wait, |job| job.state.is_final() || waits_for_runner(job))
        .await?
        .unwrap_or(job);
    if job.state == JobState::Succeeded {
        let removed = Removed {
            runner_id: id.uuid(),
            runner_name: runner.name,
            success: true,
            message: "The runner is removed from GitHub.".to_owned(),
        };
        return Ok(prefer.confirm(Json(removed).into_response()));
    }
    if !waits_for_runner(&job) {
        return match ended(&job) {
            Some(problem) => Err(problem.into()),
            None => accepted(&app, job).await,
        };
    }
    // Whoever waits is told that nothing happens, so nothing may happen later. A job that others asked for goes on.
    if ours && withdraw(&app, &caller, &origin, job.id).await?.is_none() {
        return accepted(&app, job).await;
    }
    Err(busy(ours).into())
}

fn waits_for_runner(job: &Job) -> bool {
    job.state == JobState::Queued && job.blocked_on == Some(BlockedOn::Busy)
}

fn busy(ours: bool) -> Problem {
    let detail = if ours {
        "The runner runs a workflow job; nothing was removed. Without `Prefer: wait` the removal waits for its end."
    } else {
        "The runner runs a workflow job; a job somebody else asked for waits for its end."
    };
    Problem::new(ProblemCode::RunnerBusy, detail).retry_after(30)
}
