//! Fetch of a job's credential.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use domain::{AuditEntry, Caller, Job, JobId, JobState, Origin, Problem, ProblemCode};
use serde_json::json;

use crate::{
    app::AppState,
    body::Id,
    caller::Authorised,
    credential::{self, IssuedCredential},
    error::{ApiError, ApiResult},
    openapi::problems,
    origin::RequestOrigin,
};

problems! { CredentialProblems: CredentialDenied, JitNotAllowed, RegistrationTokenNotAllowed, TeamForbidden, TeamInactive, NotFound, CredentialNotReady, CredentialGone, RunnerNameConflict,
JobCancelled, JobPoisoned, GithubRefused, GithubUnavailable, JobExpired, CredentialKeyMissing; }

/// Fetch the JIT config or registration token of a job that has succeeded.
///
/// Only the requester gets it, for a machine client the same subject: once, and again within 120 seconds of the first
/// time. Each fetch and each refused try of another caller writes an audit row. A requester who has been deactivated or
/// has left the team gets nothing. Members of a deactivated team get nothing.
#[utoipa::path(
    post, path = "/jobs/{job_id}/credential", tag = "jobs", params(("job_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The config, or the registration token", body = IssuedCredential, headers(("Cache-Control" = String))),
        CredentialProblems,
    ),
)]
pub(crate) async fn credential(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    Id(id): Id<JobId>,
) -> ApiResult<Response> {
    let credential = take(&app, &caller, &origin, id).await?;
    Ok((credential::NO_STORE, Json(credential)).into_response())
}

/// Hands out the credential of a job to its requester.
pub(crate) async fn take(
    app: &AppState,
    caller: &Caller,
    origin: &Origin,
    id: JobId,
) -> ApiResult<IssuedCredential> {
    let job = app.operations().find_job(caller, id).await?.ok_or_else(|| Problem::not_found("job"))?;
    if !caller.may_see(job.team, job.requester) {
        return Err(refuse_hidden(app, caller, origin, &job).await);
    }
    if !caller.asked_for(&job) {
        return Err(refuse_other_caller(app, caller, origin, &job).await);
    }
    match (job.state, job.error.clone()) {
        (JobState::Succeeded, _) => {}
        (JobState::Cancelled, None) => {
            return Err(Problem::new(ProblemCode::JobCancelled, "The job was cancelled.").into());
        }
        (_, Some(problem)) => return Err(problem.into()),
        (state, None) => {
            return Err(Problem::new(
                ProblemCode::CredentialNotReady,
                format!("The job is {state}; wait until it has succeeded."),
            )
            .retry_after(1)
            .into());
        }
    }
    let gone = || {
        let detail = "The config was handed out more than 120 s ago, has expired, or never existed; request a new runner.";
        Problem::new(ProblemCode::CredentialGone, detail)
    };
    Ok(credential::fetch(app, caller, origin, &job).await?.ok_or_else(gone)?)
}

/// Records the try of a caller who may not see the job. The row is for admins and not in the team's log.
async fn refuse_hidden(app: &AppState, caller: &Caller, origin: &Origin, job: &Job) -> ApiError {
    let problem = not_the_requester();
    let entry = AuditEntry {
        team: None,
        data: json!({ "team_id": job.team }),
        error: Some(problem.detail.clone()),
        ..AuditEntry::by(caller, origin, "credential.fetch").about_job(job)
    };
    let recorded = app.operations().record_hidden_refusal(&entry, &problem).await;
    recorded.err().map_or_else(|| Problem::not_found("job").into(), ApiError::from)
}

fn not_the_requester() -> Problem {
    let detail = "Only the requester of this runner may fetch its config; request a runner of your own.";
    Problem::new(ProblemCode::CredentialDenied, detail)
}

/// Records the try of a caller who did not request the runner.
async fn refuse_other_caller(app: &AppState, caller: &Caller, origin: &Origin, job: &Job) -> ApiError {
    let problem = not_the_requester();
    let error = Some(problem.detail.clone());
    let entry = AuditEntry { error, ..AuditEntry::by(caller, origin, "credential.fetch").about_job(job) };
    let recorded = app.operations().record_refusal(&entry, &problem).await;
    recorded.err().map_or_else(|| problem.into(), ApiError::from)
}
