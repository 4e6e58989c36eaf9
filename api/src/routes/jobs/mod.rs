//! Routes of jobs.

mod cancel;
mod credential;
mod events;
mod history;
mod show;
mod view;

use domain::{Job, JobState, Problem, ProblemCode};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::view::JobView;

use crate::app::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(show::list))
        .routes(routes!(show::show, cancel::cancel))
        .routes(routes!(events::events))
        .routes(routes!(credential::credential))
}

/// Returns why a final job did not succeed, `None` if it succeeded or is not final.
pub(super) fn failure_of(job: &Job) -> Option<Problem> {
    let cancelled = || Problem::new(ProblemCode::JobCancelled, "The job was cancelled.");
    job.error.clone().or_else(|| (job.state == JobState::Cancelled).then(cancelled))
}
