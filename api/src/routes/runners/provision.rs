//! Provision requests: `POST /runners/jit`, with one transaction, one message to the queue and a response within
//! milliseconds.

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
    credential::{self, JitHandout},
    error::ApiResult,
    openapi::{self, problems},
    origin::RequestOrigin,
    prefer::{IdempotencyKey, Prefer},
    queueing,
    routes::jobs::failure_of,
    waiting,
    warning::Warning,
};

/// An accepted request and its job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// Id of the job.
    pub(crate) job_id: Uuid,
    /// Id of the job's runner.
    pub(crate) runner_id: Option<Uuid>,
    /// Name of the runner, final once the job has succeeded.
    pub(crate) runner_name: Option<String>,
    /// State of the job.
    #[schema(schema_with = openapi::job_state)]
    pub(crate) state: JobState,
    /// Path at which the job can be followed.
    pub(crate) status_url: String,
    /// Warnings about the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Warning>,
}

problems! {
    ProvisionProblems: MalformedBody, JitNotAllowed, LabelPolicyViolation, RunnerGroupNotAllowed, QuotaExceeded,
        TeamForbidden, TeamInactive, RunnerNameConflict, PayloadTooLarge, UnsupportedMediaType, ValidationFailed,
        TeamRequired, CredentialDenied, IdempotencyMismatch, TeamBacklog, ServiceBacklog, JobCancelled, JobPoisoned, GithubRefused, GithubUnavailable, JobExpired, CredentialKeyMissing;
}

/// Request a runner.
///
/// The response comes at once with the job that will create the config, or after the job with `Prefer: wait=N`.
/// Requests with the same `Idempotency-Key` and body get the same job, however often they are sent. With a `sealing_key`
/// the config is sealed to the caller, and the service holds nothing that opens it.
#[utoipa::path(
    post, path = "/runners/jit", tag = "runners",
    request_body = ProvisionBody,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; kept for 7 days"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s) or `respond-async`"),
    ),
    responses(
        (status = 201, description = "Done within the wait; the response holds the config",
            body = JitHandout, headers(("Preference-Applied" = String), ("Cache-Control" = String))),
        (status = 202, description = "Accepted", body = Accepted,
            headers(("Location" = String, description = "The job"), ("Retry-After" = u64, description = "Seconds"))),
        ProvisionProblems,
    ),
)]
pub(crate) async fn provision(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    prefer: Prefer,
    IdempotencyKey(key): IdempotencyKey,
    Body(mut body): Body<ProvisionBody>,
) -> ApiResult<Response> {
    let (sealing_key, wrong) = match body.take_sealing_key() {
        Ok(key) => (key, Vec::new()),
        Err(error) => (None, vec![error]),
    };
    let (request, team) = (body.check_beside(wrong)?, body.named_team(&caller));
    let (by, hash) = (Actor { caller: &caller, origin: &origin }, hash_body(&body)?);
    let command = ProvisionCommand::new(by, Registration::Jit, request, team);
    let command = command.with_key(key, hash).sealed_to(sealing_key);
    submit_and_wait(&app, &command, prefer).await
}

/// Submits a request and waits for its job as long as the caller asked.
pub(super) async fn submit_and_wait(
    app: &AppState,
    command: &ProvisionCommand<'_>,
    prefer: Prefer,
) -> ApiResult<Response> {
    let (job, starts_in) = app.operations().provision(&app.provision_rules(), command).await?;
    let warnings = version_warnings(app, command.request.runner_version.as_ref(), &job).await?;
    if prefer.wait.is_zero() {
        return match starts_in {
            Some(seconds) => Ok(accepted_body(job, seconds, warnings)),
            None => accepted_with_warnings(app, job, warnings).await,
        };
    }
    let job = waiting::until_final(app, command.by.caller, job.id, prefer.wait).await?.unwrap_or(job);
    if let Some(problem) = failure_of(&job) {
        return Err(problem.into());
    }
    if job.state == JobState::Succeeded
        && let Some(mut issued) = credential::fetch(app, command.by.caller, command.by.origin, &job).await?
    {
        issued.warn(warnings);
        return Ok(prefer.confirm((StatusCode::CREATED, credential::NO_STORE, Json(issued)).into_response()));
    }
    accepted_with_warnings(app, job, warnings).await
}

/// Returns warnings about the runner version that the caller stated.
async fn version_warnings(
    app: &AppState,
    version: Option<&RunnerVersion>,
    job: &Job,
) -> ApiResult<Vec<Warning>> {
    let Some(version) = version else { return Ok(Vec::new()) };
    let known = app.store.conn().await?.versions().cut_off(&job.installation, version).await?;
    Ok(known.and_then(|(cut_off, now)| Warning::of_version(version, cut_off, now)).into_iter().collect())
}

/// Returns a hash that is equal for equal requests.
pub(crate) fn hash_body(body: &impl Serialize) -> ApiResult<Vec<u8>> {
    let text = serde_json::to_vec(body).map_err(|error| crate::error::internal(&error))?;
    Ok(digest::digest(&digest::SHA256, &text).as_ref().to_vec())
}

/// Returns a 202 response with the job to follow.
pub(super) async fn accepted_response(app: &AppState, job: Job) -> ApiResult<Response> {
    accepted_with_warnings(app, job, Vec::new()).await
}

async fn accepted_with_warnings(app: &AppState, job: Job, warnings: Vec<Warning>) -> ApiResult<Response> {
    let position = queueing::position(app, &job).await;
    let retry_after = queueing::retry_after(position.as_ref());
    Ok(accepted_body(job, retry_after, warnings))
}

fn accepted_body(job: Job, retry_after: u64, warnings: Vec<Warning>) -> Response {
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
