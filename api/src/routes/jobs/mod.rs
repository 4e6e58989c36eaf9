//! Routes of jobs.

pub(crate) mod cancel;
pub(crate) mod credential;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod show;
pub(crate) mod view;

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
pub(crate) fn failure_of(job: &Job) -> Option<Problem> {
    let cancelled = || Problem::new(ProblemCode::JobCancelled, "The job was cancelled.");
    job.error.clone().or_else(|| (job.state == JobState::Cancelled).then(cancelled))
}
