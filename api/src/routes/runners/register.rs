//! `POST /runners/provision`: a registration token, for machines that cannot take a JIT config yet.

use axum::{extract::State, response::Response};
use operations::{Actor, ProvisionCommand, Registration};

use super::{
    provision::{Accepted, hash, serve},
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

/// Ask for a registration token (legacy).
///
/// Off unless `ENABLE_REGISTRATION_TOKENS` is set, and only for users who may. Waits up to 25 s for the token unless told
/// otherwise by `Prefer`. Labels are bound by whoever runs `config.sh`: they are held against the policy as soon as the
/// runner is listed, and a runner that breaks it is removed. Prefer `POST /runners/jit`.
#[utoipa::path(
    post, path = "/runners/provision", tag = "runners",
    request_body = RegisterBody,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; kept for 7 days"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s) or `respond-async`"),
    ),
    responses(
        (status = 201, description = "The token, shown once and on asking again for 120 s", body = TokenView,
            headers(("Preference-Applied" = String), ("Cache-Control" = String))),
        (status = 202, description = "Not done in time, or not waited for", body = Accepted,
            headers(("Location" = String, description = "The job"), ("Retry-After" = u64, description = "Seconds"))),
        RegisterProblems,
    ),
)]
pub(crate) async fn register(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    (prefer, IdempotencyKey(key)): (Prefer, IdempotencyKey),
    Body(body): Body<RegisterBody>,
) -> ApiResult<Response> {
    let (request, team) = body.check()?;
    let (by, hash) = (Actor { caller: &caller, origin: &origin }, hash(&body)?);
    let registration = Registration::Token { ephemeral: body.ephemeral };
    let command = ProvisionCommand { by, key, hash, request, team, registration };
    serve(&app, &command, prefer.or_longest()).await
}
