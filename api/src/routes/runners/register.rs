//! Registration tokens: `POST /runners/provision`, for machines that cannot use a JIT config yet.

use axum::{extract::State, response::Response};
use operations::{Actor, ProvisionCommand, Registration};

use super::{
    provision::{Accepted, hash_body, submit_and_wait},
    request::RegisterBody,
};
use crate::{
    app::AppState,
    body::Body,
    caller::Authorised,
    credential::TokenView,
    error::ApiResult,
    openapi::problems,
    origin::RequestOrigin,
    prefer::{IdempotencyKey, Prefer},
};

problems! {
    RegisterProblems: MalformedBody, RegistrationTokensDisabled, RegistrationTokenNotAllowed, LabelPolicyViolation,
        RunnerGroupNotAllowed, QuotaExceeded, TeamForbidden, TeamInactive, RunnerNameConflict, PayloadTooLarge,
        UnsupportedMediaType, ValidationFailed, TeamRequired, IdempotencyMismatch, TeamBacklog, ServiceBacklog,
        JobCancelled, JobPoisoned, GithubRefused, GithubUnavailable, JobExpired, CredentialKeyMissing;
}

/// Request a registration token (legacy).
///
/// Needs `ENABLE_REGISTRATION_TOKENS` and a user with this permission. The call waits up to 25 s for the token unless
/// `Prefer` says otherwise. The labels come from the machine that runs `config.sh`. They are checked against the policy
/// as soon as the runner is listed, and a runner that violates it is removed. Prefer `POST /runners/jit`.
#[utoipa::path(
    post, path = "/runners/provision", tag = "runners",
    request_body = RegisterBody,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; kept for 7 days"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s) or `respond-async`"),
    ),
    responses(
        (status = 201, description = "The token; it can be fetched again for 120 s", body = TokenView,
            headers(("Preference-Applied" = String), ("Cache-Control" = String))),
        (status = 202, description = "Accepted; not done within the wait", body = Accepted,
            headers(("Location" = String, description = "The job"), ("Retry-After" = u64, description = "Seconds"))),
        RegisterProblems,
    ),
)]
pub(crate) async fn register(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    prefer: Prefer,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<RegisterBody>,
) -> ApiResult<Response> {
    let (request, team) = body.check(&caller)?;
    let (by, hash) = (Actor { caller: &caller, origin: &origin }, hash_body(&body)?);
    let registration = Registration::Token { ephemeral: body.ephemeral };
    let command = ProvisionCommand::new(by, registration, request, team).with_key(key, hash);
    submit_and_wait(&app, &command, prefer.or_longest_wait()).await
}
