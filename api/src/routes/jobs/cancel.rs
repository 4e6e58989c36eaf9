//! Withdrawing a job.

use axum::{Json, extract::State};
use domain::{AuditEntry, Caller, Job, JobId, Origin, Problem, ProblemCode, Source};
use store::Tx;

use crate::{
    app::App, body::Id, caller::Authorised, error::ApiResult, openapi::problems, origin::From_, refusal,
    views::JobView,
};

/// Of the audit row.
const EVENT: &str = "job.cancel";

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
    State(app): State<App>,
    Authorised(caller): Authorised,
    From_(origin): From_,
    Id(id): Id<JobId>,
) -> ApiResult<Json<JobView>> {
    let seen = super::visible(&app, &caller, id).await?;
    let problem = if caller.may_cancel(&seen) {
        match withdraw(&app, (&caller, &origin), id).await? {
            Some(job) => return Ok(Json(job.into())),
            None => Problem::new(
                ProblemCode::JobNotCancellable,
                format!("The job is {}; only a queued job can be cancelled.", seen.state),
            ),
        }
    } else if seen.requester.is_some() {
        let detail = "Another subject asked for this job; a machine client cancels only what its own subject asked for.";
        Problem::new(ProblemCode::CredentialDenied, detail)
    } else {
        let detail = "The service ordered this job itself; only an admin may cancel it.";
        Problem::new(ProblemCode::AdminRequired, detail)
    };
    let entry = AuditEntry { error: Some(problem.detail.clone()), ..entry((&caller, &origin), &seen) };
    refusal::note(&app, &entry, &problem).await?;
    Err(problem.into())
}

fn entry((caller, origin): (&Caller, &Origin), job: &Job) -> AuditEntry {
    AuditEntry {
        runner: job.runner,
        runner_name: job.runner_name.clone(),
        team: job.team,
        job: Some(job.id),
        ..AuditEntry::by(caller, origin, EVENT)
    }
}

/// Cancels a job if it still waits, and tells everybody. None: it runs or is over.
async fn withdraw(app: &App, by: (&Caller, &Origin), id: JobId) -> ApiResult<Option<Job>> {
    let mut tx = app.store.begin().await?;
    let Some(job) = tx.jobs().cancel(id).await? else { return Ok(None) };
    ended(app, tx, by, &job).await?;
    Ok(Some(job))
}

/// The caller counts on a waiting job no more; it is cancelled if nobody else does. None: it runs or is over.
pub(in crate::routes) async fn leave(app: &App, by: (&Caller, &Origin), id: JobId) -> ApiResult<Option<Job>> {
    let mut tx = app.store.begin().await?;
    let Some(job) = tx.jobs().leave(id).await? else { return Ok(None) };
    if job.state.is_final() {
        ended(app, tx, by, &job).await?;
    } else {
        tx.commit().await?;
    }
    Ok(Some(job))
}

async fn ended(app: &App, mut tx: Tx, by: (&Caller, &Origin), job: &Job) -> ApiResult<()> {
    if let Some(runner) = job.runner.filter(|_| job.kind.makes_runner()) {
        tx.runners().delete(runner, Source::Api, "its job was cancelled").await?;
    }
    tx.audit().write(&entry(by, job)).await?;
    tx.commit().await?;
    if let Err(error) = app.spine.cancel(job.id).await {
        tracing::warn!(job = %job.id, %error, "the queue is away; its copy of a cancelled job goes when it is claimed");
    }
    if let Err(error) = app.spine.announce(job.id, job.state.as_str()).await {
        tracing::debug!(job = %job.id, %error, "not announced; waiting requests will see it at their next poll");
    }
    Ok(())
}
