//! `DELETE /jobs/{id}`.

use axum::{Json, extract::State};
use domain::JobId;
use operations::Actor;

use crate::{
    app::AppState, body::Id, caller::Authorised, error::ApiResult, openapi::problems, origin::RequestOrigin,
    views::JobView,
};

problems! { CancelProblems: AdminRequired, CredentialDenied, NotFound, JobNotCancellable; }

/// Cancel a job that still waits. Its runner name and its place in the quota are free at once.
///
/// Your own, or one somebody of your team asked for; what the service ordered itself is for admins. A machine client
/// cancels only what the same subject asked for.
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
