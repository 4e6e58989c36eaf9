//! `POST /runners/{id}/refresh`.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use domain::{JobState, Problem, RunnerId};
use operations::{Actor, RunnerJobRequest};

use super::provision::{Accepted, accepted};
use crate::{
    app::AppState, body::Id, caller::Authorised, error::ApiResult, openapi::problems, origin::RequestOrigin,
    prefer::Prefer, routes::jobs::ended, views::RunnerView, waiting,
};

/// A look so young answers those who ask for another.
const YOUNG: TimeDelta = TimeDelta::seconds(10);

problems! {
    RefreshProblems: TeamInactive, NotFound, RunnerBusy, RunnerDeleted, JobCancelled, ValidationFailed, JobPoisoned, GithubRefused,
        GithubUnavailable, JobExpired;
}

/// Look at a runner on GitHub now, ahead of the periodic look at all of them.
///
/// Answers at once with the job that looks, or with `Prefer: wait=N` with the runner as it was found. A runner that
/// GitHub does not know any more is `deleted` afterwards. A look that is younger than ten seconds answers as well, and a
/// caller may make the service ask GitHub a tenth as often as it may ask the service.
#[utoipa::path(
    post, path = "/runners/{runner_id}/refresh", tag = "runners",
    params(
        ("runner_id" = uuid::Uuid, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s) or `respond-async`"),
    ),
    responses(
        (status = 200, description = "Looked within the time to wait", body = RunnerView,
            headers(("Preference-Applied" = String))),
        (status = 202, description = "Accepted; the same job for all who ask while it is open", body = Accepted,
            headers(("Location" = String, description = "The job"), ("Retry-After" = u64, description = "Seconds"))),
        RefreshProblems,
    ),
)]
pub(crate) async fn refresh(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    prefer: Prefer,
    Id(id): Id<RunnerId>,
) -> ApiResult<Response> {
    let request = RunnerJobRequest::refresh(Actor { caller: &caller, origin: &origin });
    let runner = request.authorize(&app.operations(), id).await?;
    let job = if let Some(job) = request.join_recent_check(&app.operations(), &runner, YOUNG).await? {
        job
    } else {
        app.limiter().admit_costly(caller.requester)?;
        request.submit_or_join(&app.operations(), &runner).await?
    };
    if prefer.wait.is_zero() {
        return accepted(&app, job).await;
    }
    let job = waiting::until_final(&app, &caller, job.id, prefer.wait).await?.unwrap_or(job);
    if job.state == JobState::Succeeded {
        let runner = app.store.conn().await?.runners().get(id).await?;
        let runner = runner.ok_or_else(|| Problem::not_found("runner"))?;
        return Ok(prefer.confirm(Json(RunnerView::from(runner)).into_response()));
    }
    match ended(&job) {
        Some(problem) => Err(problem.into()),
        None => accepted(&app, job).await,
    }
}
