//! Collecting the config.

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

/// Collect the JIT config, or registration token, of a job that has succeeded.
///
/// Only who asked for the runner gets it, of a machine client the same subject; once, and again within 120 seconds of the
/// first time. Each time is written down, and so is somebody else's try. Whoever has been deactivated or has left the team since gets nothing, and neither
/// does anybody of a team that has been deactivated.
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
    let job = app.store.conn().await?.jobs().get(id).await?.ok_or_else(|| Problem::not_found("job"))?;
    if !caller.may_see(job.team, job.requester) {
        return Err(hidden(&app, &caller, &origin, &job).await);
    }
    if !caller.asked_for(&job) {
        return Err(denied(&app, &caller, &origin, &job).await);
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
                format!("The job is {state}; wait for it."),
            )
            .retry_after(1)
            .into());
        }
    }
    let gone = || {
        let detail = "The config was handed out more than 120 s ago, has expired, or never existed; ask for a new runner.";
        Problem::new(ProblemCode::CredentialGone, detail)
    };
    let credential = credential::fetch(&app, &caller, &origin, &job).await?.ok_or_else(gone)?;
    Ok((credential::NO_STORE, Json(credential)).into_response())
}

/// Writes the try of somebody down who may not even see the job: for admins, not in the log of the team.
async fn hidden(app: &AppState, caller: &Caller, origin: &Origin, job: &Job) -> ApiError {
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
    Problem::new(ProblemCode::CredentialDenied, "Only who asked for this runner may fetch its config.")
}

/// Writes somebody else's try down.
async fn denied(app: &AppState, caller: &Caller, origin: &Origin, job: &Job) -> ApiError {
    let problem = not_the_requester();
    let error = Some(problem.detail.clone());
    let entry = AuditEntry { error, ..AuditEntry::by(caller, origin, "credential.fetch").about_job(job) };
    let recorded = app.operations().record_refusal(&entry, &problem).await;
    recorded.err().map_or_else(|| problem.into(), ApiError::from)
}
