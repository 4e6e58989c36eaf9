//! Jobs.

mod cancel;
mod credential;
mod events;
mod show;

pub(super) use cancel::leave;
use domain::{Caller, Job, JobId, JobState, Problem, ProblemCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, error::ApiResult};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show::list))
        .routes(routes!(show::show, cancel::cancel))
        .routes(routes!(events::events))
        .routes(routes!(credential::credential))
}

/// Why a job that has ended did not succeed; none for those that did, or are not over.
pub(super) fn ended(job: &Job) -> Option<Problem> {
    let cancelled = || Problem::new(ProblemCode::JobCancelled, "The job was cancelled.");
    job.error.clone().or_else(|| (job.state == JobState::Cancelled).then(cancelled))
}

/// The job, if the caller may see it.
async fn visible(app: &App, caller: &Caller, id: JobId) -> ApiResult<Job> {
    let job = app.store.read().await?.jobs().get(id).await?;
    Ok(job.filter(|job| caller.may_see(job.team, job.requester)).ok_or_else(|| Problem::not_found("job"))?)
}
