//! Redemption of claim tickets by machines. The ticket is the permission, so the call needs no known caller.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{AuditEntry, JobState, Origin, Problem, ProblemCode, SecurityEvent, Severity, TokenFacts};
use operations::{Redeemed, Redeemer, Refused, ticket_refused};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::RedeemBody;
use crate::{
    address_limit::display_network,
    app::AppState,
    body::Body,
    caller::bearer_token,
    credential::{self, JitHandout},
    error::{ApiError, ApiResult},
    openapi::{self, problems},
    origin::RequestOrigin,
    pre_auth::{AuthAttempt, is_unknown_sender},
    prefer::{IdempotencyKey, Prefer},
    queueing,
    routes::jobs::failure_of,
    waiting,
};

problems! {
    RedeemProblems: MalformedBody, TicketRefused, Inactive, ReadOnly, JitNotAllowed, LabelPolicyViolation,
        RunnerGroupNotAllowed, QuotaExceeded, TeamForbidden, TeamInactive, PayloadTooLarge, UnsupportedMediaType,
        ValidationFailed, IdempotencyMismatch, TeamBacklog, ServiceBacklog, CredentialGone, JobCancelled, JobPoisoned,
        GithubRefused, GithubUnavailable, JobExpired, CredentialKeyMissing, KeysUnavailable;
}

/// A redeemed ticket whose config is not ready yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RedeemedTicket {
    /// Id of the ticket.
    ticket_id: Uuid,
    /// Id of the job that makes the config.
    job_id: Uuid,
    /// Our id of the runner.
    runner_id: Option<Uuid>,
    /// Name of the runner, final once the job has succeeded.
    runner_name: Option<String>,
    /// State of the job.
    #[schema(schema_with = openapi::job_state)]
    state: JobState,
}

/// Redeem a claim ticket.
///
/// For the machine that will be the runner: it needs the ticket's text, and the address or the token that the ticket asks
/// for. The config is made now and is in the response. A ticket gives one runner. A repeated request with the same
/// `Idempotency-Key` gets the same runner for an hour, and its config for 120 seconds after the first response. A ticket
/// that is unknown, used, expired, revoked or for another machine gets one and the same refusal.
#[utoipa::path(
    post, path = "/runners/tickets/redeem", tag = "tickets", security((), ("token" = [])),
    request_body = RedeemBody,
    params(
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, chosen by the machine"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s, by default 25) or `respond-async`"),
    ),
    responses(
        (status = 201, description = "The config", body = JitHandout,
            headers(("Preference-Applied" = String), ("Cache-Control" = String))),
        (status = 202, description = "Not ready yet; send the same request again", body = RedeemedTicket,
            headers(("Retry-After" = u64, description = "Seconds"))),
        RedeemProblems,
    ),
)]
pub(crate) async fn redeem(
    State(app): State<AppState>,
    RequestOrigin(origin): RequestOrigin,
    prefer: Prefer,
    IdempotencyKey(key): IdempotencyKey,
    headers: HeaderMap,
    Body(body): Body<RedeemBody>,
) -> ApiResult<Response> {
    let key = key.ok_or_else(|| Problem::field("header:Idempotency-Key", "a redemption needs one"))?;
    let sealing_key = body.sealing_key()?;
    let attempt = app.pre_auth().admit(origin.ip, &body.ticket)?;
    let accepted = async {
        let token = token_facts(&app, &headers).await?;
        let secret = body.ticket.parse().map_err(|()| ticket_refused())?;
        let token = token.as_ref();
        let redeemer = Redeemer { secret: &secret, key: &key, origin: &origin, token, sealing_key };
        Ok::<_, ApiError>(app.operations().redeem_ticket(&app.provision_rules(), &redeemer).await?)
    };
    match accepted.await {
        Ok(redeemed) => respond(&app, &origin, redeemed, prefer.or_longest_wait()).await,
        Err(error) => {
            record_refusal(&app, &attempt, &origin, &error.0).await;
            Err(error)
        }
    }
}

/// Returns the facts of the token that the machine sent, if it sent one.
async fn token_facts(app: &AppState, headers: &HeaderMap) -> ApiResult<Option<TokenFacts>> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let facts = app.verifier.verify(bearer_token(headers)?).await?.facts();
    if app.store.conn().await?.incidents().is_blocked(&facts.issuer).await? {
        return Err(ticket_refused().into());
    }
    Ok(Some(facts))
}

/// Counts a refused ticket or token against the address. An address that is refused too often is blocked for a while, and
/// a security event says so.
async fn record_refusal(app: &AppState, attempt: &AuthAttempt, origin: &Origin, problem: &Problem) {
    if problem.code != ProblemCode::TicketRefused && !is_unknown_sender(problem) {
        return;
    }
    app.pre_auth().count_refusal(attempt);
    let address = origin.ip.map_or_else(|| "unknown".to_owned(), display_network);
    let blocked = app.pre_auth().is_blocked(origin.ip);
    let event =
        SecurityEvent { event_type: "ticket_guessing", severity: Severity::High, action_taken: "refused" };
    let entry = AuditEntry {
        data: json!({ "code": problem.code, "address": address }),
        error: Some(problem.detail.clone()),
        origin: origin.clone(),
        ..AuditEntry::service("ticket.refused")
    };
    let key = format!("{address} {} {blocked}", problem.code.as_str());
    app.record_unauthorised(Refused::Ticket, key, entry, blocked.then_some(event)).await;
}

/// Waits for the config as long as the machine asked.
async fn respond(app: &AppState, origin: &Origin, redeemed: Redeemed, prefer: Prefer) -> ApiResult<Response> {
    let Redeemed { caller, ticket, job, .. } = redeemed;
    let job = if prefer.wait.is_zero() {
        job
    } else {
        waiting::until_final(app, &caller, job.id, prefer.wait).await?.unwrap_or(job)
    };
    if let Some(problem) = failure_of(&job) {
        return Err(problem.into());
    }
    if job.state == JobState::Succeeded {
        let gone = || {
            Problem::new(ProblemCode::CredentialGone, "The ticket's config was handed out or has expired.")
        };
        let issued = credential::fetch(app, &caller, origin, &job).await?.ok_or_else(gone)?;
        return Ok(prefer.confirm((StatusCode::CREATED, credential::NO_STORE, Json(issued)).into_response()));
    }
    let position = queueing::position(app, &job).await;
    let headers = [(header::RETRY_AFTER, queueing::retry_after(position.as_ref()).to_string())];
    let body = RedeemedTicket {
        ticket_id: ticket.uuid(),
        job_id: job.id.uuid(),
        runner_id: job.runner.map(domain::RunnerId::uuid),
        runner_name: job.runner_name,
        state: job.state,
    };
    Ok((StatusCode::ACCEPTED, headers, Json(body)).into_response())
}
