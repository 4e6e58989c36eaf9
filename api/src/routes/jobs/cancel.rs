//! Withdrawing a job.

use axum::{Json, extract::State};
use domain::{AuditEntry, Caller, Job, JobId, Origin, Problem, ProblemCode, Source};

use crate::{
    app::App, body::Id, caller::Authorised, error::ApiResult, openapi::problems, origin::From_,
    views::JobView,
};

problems! { CancelProblems: NotFound, JobNotCancellable; }

/// Cancel a job that still waits. Its runner name and its place in the quota are free at once.
#[utoipa::path(
    delete, path = "/jobs/{job_id}", tag = "jobs", params(("job_id" = uuid::Uuid, Path)),
    responses((status = 200, description = "Cancelled", body = JobView), CancelProblems),
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    Authorised(caller): Authorised,
    From_(origin): From_,
    Id(id): Id<JobId>,
) -> ApiResult<Json<JobView>> {
    let seen = super::visible(&app, &caller, id).await?;
    let Some(job) = withdraw(&app, &caller, &origin, id).await? else {
        return Err(Problem::new(
            ProblemCode::JobNotCancellable,
            format!("The job is {}; only a queued job can be cancelled.", seen.state),
        )
        .into());
    };
    Ok(Json(job.into()))
}

/// Cancels a job if it still waits, and tells everybody. None: it runs or is over.
pub(in crate::routes) async fn withdraw(
    app: &App,
    caller: &Caller,
    origin: &Origin,
    id: JobId,
) -> ApiResult<Option<Job>> {
    let mut tx = app.store.begin().await?;
    let Some(job) = tx.jobs().cancel(id).await? else { return Ok(None) };
    if let Some(runner) = job.runner.filter(|_| job.kind.makes_runner()) {
        tx.runners().delete(runner, Source::Api, "its job was cancelled").await?;
    }
    let entry = AuditEntry {
        runner: job.runner,
        runner_name: job.runner_name.clone(),
        team: job.team,
        job: Some(id),
        ..AuditEntry::by(caller, origin, "job.cancel")
    };
    tx.audit().write(&entry).await?;
    tx.commit().await?;
    if let Err(error) = app.spine.cancel(id).await {
        tracing::warn!(job = %id, %error, "the queue is away; its copy of a cancelled job goes when it is claimed");
    }
    if let Err(error) = app.spine.announce(id, job.state.as_str()).await {
        tracing::debug!(job = %id, %error, "not announced; waiting requests will see it at their next poll");
    }
    Ok(Some(job))
}
