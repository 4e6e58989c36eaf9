//! `POST /runners/jit`: one transaction, one ticket, an answer within milliseconds.

use aws_lc_rs::digest;
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{Job, JobState, RunnerId, RunnerVersion};
use operations::{Actor, ProvisionCommand, Registration};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::ProvisionBody;
use crate::{
    app::AppState,
    body::Body,
    caller::Authorised,
    credential::{self, CredentialView},
    error::ApiResult,
    openapi::{self, problems},
    origin::RequestOrigin,
    prefer::{IdempotencyKey, Prefer},
    queueing,
    routes::jobs::ended,
    views::Warning,
    waiting,
};

/// A provision request that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The job to follow.
    job_id: Uuid,
    /// The runner it will make.
    runner_id: Option<Uuid>,
    /// The runner's name as it stands; settled once the job has succeeded.
    runner_name: Option<String>,
    /// Where the job stands.
    #[schema(schema_with = openapi::job_state)]
    state: JobState,
    /// Where to follow it.
    status_url: String,
    /// What you should know about what you asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

problems! {
    ProvisionProblems: MalformedBody, JitNotAllowed, LabelPolicyViolation, RunnerGroupNotAllowed, QuotaExceeded,
        TeamForbidden, TeamInactive, RunnerNameConflict, PayloadTooLarge, UnsupportedMediaType, ValidationFailed,
        TeamRequired, CredentialDenied, IdempotencyMismatch, TeamBacklog, ServiceBacklog, JobCancelled, JobPoisoned, GithubRefused, GithubUnavailable, JobExpired, CredentialKeyMissing;
}

/// Ask for a runner.
///
/// Answers at once with the job that will get the config, or waits for it when asked to by `Prefer: wait=N`.
/// With the same `Idempotency-Key` and body, the answer is the same job, however often it is sent.
#[utoipa::path(
    post, path = "/runners/jit", tag = "runners",
    request_body = ProvisionBody,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; kept for 7 days"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s) or `respond-async`"),
    ),
    responses(
        (status = 201, description = "Done within the time to wait; this is the only time the config is shown unasked",
            body = CredentialView, headers(("Preference-Applied" = String), ("Cache-Control" = String))),
        (status = 202, description = "Accepted", body = Accepted,
            headers(("Location" = String, description = "The job"), ("Retry-After" = u64, description = "Seconds"))),
        ProvisionProblems,
    ),
)]
pub(crate) async fn provision(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    (prefer, IdempotencyKey(key)): (Prefer, IdempotencyKey),
    Body(body): Body<ProvisionBody>,
) -> ApiResult<Response> {
    let (request, team) = body.check()?;
    let (by, hash) = (Actor { caller: &caller, origin: &origin }, hash(&body)?);
    let registration = Registration::Jit;
    let command = ProvisionCommand { by, key, hash, request, team, registration };
    serve(&app, &command, prefer).await
}

/// Accepts a request, and waits for its job as long as was asked for.
pub(super) async fn serve(
    app: &AppState,
    command: &ProvisionCommand<'_>,
    prefer: Prefer,
) -> ApiResult<Response> {
    let (job, starts_in) = app.operations().provision(&app.provision_rules(), command).await?;
    let warnings = warnings(app, command.request.runner_version.as_ref(), &job).await?;
    if prefer.wait.is_zero() {
        return match starts_in {
            Some(seconds) => Ok(follow(job, seconds, warnings)),
            None => accepted_with(app, job, warnings).await,
        };
    }
    let job = waiting::until_final(app, command.by.caller, job.id, prefer.wait).await?.unwrap_or(job);
    if let Some(problem) = ended(&job) {
        return Err(problem.into());
    }
    if job.state == JobState::Succeeded
        && let Some(mut handout) = credential::fetch(app, command.by.caller, command.by.origin, &job).await?
    {
        handout.warn(warnings);
        return Ok(prefer.confirm((StatusCode::CREATED, credential::NO_STORE, Json(handout)).into_response()));
    }
    accepted_with(app, job, warnings).await
}

/// What the caller should know about what it asked for.
async fn warnings(app: &AppState, version: Option<&RunnerVersion>, job: &Job) -> ApiResult<Vec<Warning>> {
    let Some(version) = version else { return Ok(Vec::new()) };
    let known = app.store.conn().await?.versions().cut_off(&job.installation, version).await?;
    Ok(known.and_then(|(cut_off, now)| Warning::of(version, cut_off, now)).into_iter().collect())
}

/// What makes two requests the same.
pub(super) fn hash(body: &impl Serialize) -> ApiResult<Vec<u8>> {
    let text = serde_json::to_vec(body).map_err(|error| crate::error::internal(&error))?;
    Ok(digest::digest(&digest::SHA256, &text).as_ref().to_vec())
}

/// 202 with the job to follow.
pub(super) async fn accepted(app: &AppState, job: Job) -> ApiResult<Response> {
    accepted_with(app, job, Vec::new()).await
}

async fn accepted_with(app: &AppState, job: Job, warnings: Vec<Warning>) -> ApiResult<Response> {
    let standing = queueing::position(app, &job).await;
    let retry_after = queueing::retry_after(standing.as_ref());
    Ok(follow(job, retry_after, warnings))
}

fn follow(job: Job, retry_after: u64, warnings: Vec<Warning>) -> Response {
    let status_url = format!("/api/v1/jobs/{}", job.id);
    let body = Accepted {
        job_id: job.id.uuid(),
        runner_id: job.runner.map(RunnerId::uuid),
        runner_name: job.runner_name,
        state: job.state,
        status_url: status_url.clone(),
        warnings,
    };
    let headers = [(header::LOCATION, status_url), (header::RETRY_AFTER, retry_after.to_string())];
    (StatusCode::ACCEPTED, headers, Json(body)).into_response()
}
