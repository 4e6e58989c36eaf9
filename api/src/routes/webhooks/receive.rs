//! Receipt of webhook deliveries: checked, stored and answered. The scheduler processes them afterwards.

use axum::{
    Json,
    body::{Body, HttpBody},
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use domain::{Content, Delivery, FieldError, InstallationId, Origin, Problem, ProblemCode, WebhookSource};
use serde::Serialize;
use store::{InboxState, NewDelivery};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
    openapi,
    origin::RequestOrigin,
    webhook_intake::{self, MAX_DELIVERY},
    webhook_signature::SignatureCheck,
};

const EVENT_HEADER: &str = "x-github-event";
const DELIVERY_HEADER: &str = "x-github-delivery";
const SIGNATURE_HEADER: &str = "x-hub-signature-256";

/// Result of a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Received {
    /// GitHub's id of the delivery.
    pub(crate) delivery_id: Uuid,
    /// `stored` (will be processed), `ignored` (not relevant here) or `duplicate` (received before).
    pub(crate) state: &'static str,
}

pub(crate) struct WebhookProblems;
impl utoipa::IntoResponses for WebhookProblems {
    fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
        openapi::problem_responses(&[&[
            ProblemCode::MalformedRequest,
            ProblemCode::MalformedBody,
            ProblemCode::WebhookSignatureInvalid,
            ProblemCode::RequestTimeout,
            ProblemCode::PayloadTooLarge,
            ProblemCode::UnsupportedMediaType,
            ProblemCode::InternalError,
            ProblemCode::WebhooksDisabled,
            ProblemCode::Overloaded,
            ProblemCode::DatabaseUnavailable,
        ]])
    }
}

/// The headers of a delivery.
struct Headers {
    event: String,
    delivery: Uuid,
    signature: String,
}

/// Receive a delivery of GitHub's webhook.
///
/// Authenticated by the webhook's secret instead of a token. A delivery has at most 25 MiB, of which 1 MiB is read: no
/// relevant event is larger, and a larger delivery is ignored. Each delivery id is processed once.
#[utoipa::path(
    post, path = "/webhooks/github", tag = "webhooks", security(()),
    params(
        ("X-GitHub-Event" = String, Header, description = "The event", min_length = 1, max_length = 100,
            pattern = "^[A-Za-z0-9_]+$"),
        ("X-GitHub-Delivery" = Uuid, Header, description = "Unchanged on redelivery"),
        ("X-Hub-Signature-256" = String, Header, description = "`sha256=` and the HMAC of the body in hexadecimal",
            pattern = "^sha256=[0-9A-Fa-f]{64}$"),
    ),
    request_body(content = serde_json::Value, description = "The event's payload"),
    responses((status = 202, description = "Stored", body = Received), WebhookProblems),
)]
pub(crate) async fn receive(
    State(app): State<AppState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<(StatusCode, Json<Received>)> {
    let answer = ingest(&app, &origin, &headers, body).await;
    let outcome = match &answer {
        Ok(received) => received.state,
        Err(ApiError(problem)) => problem.code.as_str(),
    };
    metrics::counter!("rts_webhook_deliveries_total", "outcome" => outcome).increment(1);
    Ok((StatusCode::ACCEPTED, Json(answer?)))
}

async fn ingest(app: &AppState, origin: &Origin, headers: &HeaderMap, body: Body) -> ApiResult<Received> {
    if app.webhook_secrets.is_empty() {
        let detail = "No webhook secret is configured; deliveries are refused.";
        return Err(Problem::new(ProblemCode::WebhooksDisabled, detail).into());
    }
    let given = Headers::read(headers)?;
    if body.size_hint().lower() > MAX_DELIVERY as u64 {
        return Err(webhook_intake::too_large().into());
    }
    let check = SignatureCheck::new(&app.webhook_secrets, &given.signature);
    let signed = app.intake().read_body(origin.ip, body, check).await?;
    if signed.installations.is_empty() {
        app.signature_alarm().record(&app.store, origin, &given.event).await?;
        let detail = "The signature does not match the body under any configured webhook secret.";
        return Err(Problem::new(ProblemCode::WebhookSignatureInvalid, detail).into());
    }
    let Some(body) = signed.body else { return store_unread(app, &given, &signed.installations).await };
    let delivery = Delivery::read(&given.event, &body)
        .map_err(|error| Problem::new(ProblemCode::MalformedBody, error.to_string()))?;
    store_delivery(app, &given, &delivery, &signed.installations).await
}

/// Stores a delivery that is larger than any relevant event, without its content.
async fn store_unread(app: &AppState, given: &Headers, signed_for: &[InstallationId]) -> ApiResult<Received> {
    let new = NewDelivery {
        id: given.delivery,
        event: &given.event,
        action: None,
        whose: &WebhookSource::default(),
        signed_for,
        notice: None,
        state: InboxState::Ignored,
        note: Some("too large to be read"),
    };
    let stored = app.store.conn().await?.webhooks().receive(&new).await?;
    Ok(Received { delivery_id: given.delivery, state: if stored { "ignored" } else { "duplicate" } })
}

async fn store_delivery(
    app: &AppState,
    given: &Headers,
    delivery: &Delivery,
    signed_for: &[InstallationId],
) -> ApiResult<Received> {
    let (notice, state, note) = match &delivery.content {
        Content::Event(notice) => (Some(notice), InboxState::Pending, None),
        Content::Ignored => (None, InboxState::Ignored, Some("not needed")),
        Content::Malformed(why) => {
            tracing::warn!(event = given.event, why, "webhook payload is not as GitHub documents it");
            (None, InboxState::Failed, Some(why.as_str()))
        }
    };
    let new = NewDelivery {
        id: given.delivery,
        event: &given.event,
        action: delivery.action.as_deref(),
        whose: &delivery.source,
        signed_for,
        notice,
        state,
        note,
    };
    let stored = app.store.conn().await?.webhooks().receive(&new).await?;
    let state = match (stored, state) {
        (false, _) => "duplicate",
        (true, InboxState::Pending) => "stored",
        (true, _) => "ignored",
    };
    Ok(Received { delivery_id: given.delivery, state })
}

impl Headers {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let event = text(EVENT_HEADER).filter(|event| {
            (1..=100).contains(&event.len()) && event.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        let delivery = text(DELIVERY_HEADER).and_then(|id| id.parse().ok());
        let mut wrong = Vec::new();
        if event.is_none() {
            wrong.push(FieldError::new("header:X-GitHub-Event", "the name of an event"));
        }
        if delivery.is_none() {
            wrong.push(FieldError::new("header:X-GitHub-Delivery", "a GUID"));
        }
        let (Some(event), Some(delivery)) = (event, delivery) else {
            let detail = "GitHub sends these headers with every webhook.";
            return Err(Problem::new(ProblemCode::MalformedRequest, detail).with_errors(wrong));
        };
        let kind = text(header::CONTENT_TYPE.as_str()).and_then(|kind| kind.split(';').next());
        if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
            let detail = "Set the webhook's content type to `application/json`.";
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
        }
        // A missing signature gets the same response as a wrong one.
        let signature = text(SIGNATURE_HEADER).unwrap_or_default();
        Ok(Self { event: event.to_owned(), delivery, signature: signature.to_owned() })
    }
}
