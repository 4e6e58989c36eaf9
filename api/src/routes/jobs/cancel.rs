//! Cancellation of jobs: `DELETE /jobs/{id}`.

use axum::{Json, extract::State};
use domain::JobId;
use operations::Actor;

use super::view::JobView;
use crate::{
    app::AppState, body::Id, caller::Authorised, error::ApiResult, openapi::problems, origin::RequestOrigin,
};

problems! { CancelProblems: AdminRequired, CredentialDenied, NotFound, JobNotCancellable; }

/// Cancel a queued job. Its runner name and its place in the quota are free at once.
///
/// You may cancel your own jobs and those of your teams; the service's own jobs are for admins. A machine client may
/// cancel only the jobs of its own subject.
#[utoipa::path(
    delete, path = "/jobs/{job_id}", tag = "jobs", params(("job_id" = uuid::Uuid, Path)),
    responses((status = 200, description = "Cancelled", body = JobView), CancelProblems),
)]
pub(crate) async fn cancel(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    Id(id): Id<JobId>,
) -> ApiResult<Json<JobView>> {
    let job = app.operations().cancel_job(Actor { caller: &caller, origin: &origin }, id).await?;
    Ok(Json(job.into()))
}
