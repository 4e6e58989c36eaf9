//! Jobs.

mod cancel;
mod credential;
mod events;
mod show;

use domain::{Job, JobState, Problem, ProblemCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
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
