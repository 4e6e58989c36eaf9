//! Check of one runner on GitHub: `POST /runners/{id}/refresh`.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use domain::{JobState, Problem, RunnerId};
use operations::{Actor, RunnerJobRequest};

use super::{
    provision::{Accepted, accepted_response},
    view::RunnerView,
};
use crate::{
    app::AppState, body::Id, caller::Authorised, error::ApiResult, openapi::problems, origin::RequestOrigin,
    prefer::Prefer, routes::jobs::failure_of, waiting,
};

/// Maximum age of a drift check that answers another request.
const MAX_CHECK_AGE: TimeDelta = TimeDelta::seconds(10);

problems! {
    RefreshProblems: TeamInactive, NotFound, RunnerBusy, RunnerDeleted, JobCancelled, ValidationFailed, JobPoisoned, GithubRefused,
        GithubUnavailable, JobExpired;
}

/// Check a runner on GitHub now, ahead of the next sync run.
///
/// The response comes at once with the job that checks, or with `Prefer: wait=N` with the runner as it was found. A
/// runner that GitHub no longer knows is `deleted` afterwards. A check of the last ten seconds is reused. The limit on
/// these calls is a tenth of the caller's rate.
#[utoipa::path(
    post, path = "/runners/{runner_id}/refresh", tag = "runners",
    params(
        ("runner_id" = uuid::Uuid, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s) or `respond-async`"),
    ),
    responses(
        (status = 200, description = "Checked within the wait", body = RunnerView,
            headers(("Preference-Applied" = String))),
        (status = 202, description = "Accepted; further requests share the job while it is open", body = Accepted,
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
    let job = if let Some(job) = request.join_recent_check(&app.operations(), &runner, MAX_CHECK_AGE).await? {
        job
    } else {
        app.limiter().admit_costly(caller.requester)?;
        request.submit_or_join(&app.operations(), &runner).await?
    };
    if prefer.wait.is_zero() {
        return accepted_response(&app, job).await;
    }
    let job = waiting::until_final(&app, &caller, job.id, prefer.wait).await?.unwrap_or(job);
    if job.state == JobState::Succeeded {
        let runner = app.store.conn().await?.runners().get(id).await?;
        let runner = runner.ok_or_else(|| Problem::not_found("runner"))?;
        return Ok(prefer.confirm(Json(RunnerView::from(runner)).into_response()));
    }
    match failure_of(&job) {
        Some(problem) => Err(problem.into()),
        None => accepted_response(&app, job).await,
    }
}
