//! Delivery of events to the operators' sinks: streams, events that were put aside, and their second delivery.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{AuditChain, EventDeliveryId, EventDeliveryState};
use serde::{Deserialize, Serialize};
use store::{DeliveryFilter, DeliveryRow, StreamRow};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::{Body, Id, Params},
    caller::{Administers, SeesAll},
    error::ApiResult,
    lists::Listing,
    openapi::{self, problems},
    page::{list_body, list_params},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(streams)).routes(routes!(list)).routes(routes!(retry))
}

/// One chain of events for one sink.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventStream)]
pub(crate) struct StreamView {
    /// Name of the sink in the scheduler's settings.
    #[schema(example = "default")]
    pub(crate) sink: String,
    /// Rows that are sent: `audit_log` or `security_events`.
    #[schema(schema_with = openapi::audit_chain)]
    pub(crate) chain: AuditChain,
    /// Time since which the next event fails; null if it does not.
    pub(crate) failing_since: Option<DateTime<Utc>>,
    /// Time of the event that fails.
    pub(crate) waiting_since: Option<DateTime<Utc>>,
    /// How often the sink has refused the event that fails.
    pub(crate) refusals: i32,
    /// Time of the next attempt; null unless an event fails.
    pub(crate) next_attempt_at: Option<DateTime<Utc>>,
    /// HTTP status of the last failure; null if there was no answer.
    pub(crate) last_status: Option<i32>,
    /// Reason of the last failure.
    #[schema(example = "the sink answered 500")]
    pub(crate) last_error: Option<String>,
    /// Time of the last delivery; null if there was none.
    pub(crate) delivered_at: Option<DateTime<Utc>>,
    /// Time at which the sink was last in the settings of the leading scheduler, give or take an hour.
    pub(crate) seen_at: DateTime<Utc>,
}

/// Streams of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventStreamList {
    /// Streams, by sink and chain.
    pub(crate) streams: Vec<StreamView>,
    /// Number of streams.
    pub(crate) total: usize,
    /// Always null: this list has one page.
    pub(crate) next_cursor: Option<String>,
}

/// An event that was put aside for a sink.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventDelivery)]
pub(crate) struct DeliveryView {
    /// Id of the delivery.
    pub(crate) id: Uuid,
    /// Name of the sink.
    #[schema(example = "default")]
    pub(crate) sink: String,
    /// Chain of the row.
    #[schema(schema_with = openapi::audit_chain)]
    pub(crate) chain: AuditChain,
    /// Id of the row, and of the event.
    pub(crate) event_id: Uuid,
    /// Event type of the row.
    #[schema(example = "credential_denied")]
    pub(crate) event_type: String,
    /// `dead`: not sent any more. `queued`: to be sent again. `delivered`: accepted after all.
    #[schema(schema_with = openapi::event_delivery_state)]
    pub(crate) state: EventDeliveryState,
    /// Attempts that count, since the event was put aside or queued.
    pub(crate) attempts: i32,
    /// HTTP status of the last failure; null if there was no answer.
    pub(crate) last_status: Option<i32>,
    /// Reason of the last failure.
    #[schema(example = "the sink answered 500")]
    pub(crate) last_error: Option<String>,
    /// Time at which the event was put aside.
    pub(crate) created_at: DateTime<Utc>,
    /// Time of the next attempt; null unless it is queued.
    pub(crate) next_attempt_at: Option<DateTime<Utc>>,
    /// Time of the last attempt or change.
    pub(crate) settled_at: DateTime<Utc>,
}

impl From<StreamRow> for StreamView {
    fn from(row: StreamRow) -> Self {
        Self {
            next_attempt_at: row.failing_since.map(|_| row.next_at),
            sink: row.sink,
            chain: row.chain,
            failing_since: row.failing_since,
            waiting_since: row.waiting_since,
            refusals: row.refusals,
            last_status: row.last_status,
            last_error: row.last_error,
            delivered_at: row.delivered_at,
            seen_at: row.seen_at,
        }
    }
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        Self {
            next_attempt_at: (row.state == EventDeliveryState::Queued).then_some(row.next_at),
            id: row.id.uuid(),
            sink: row.sink,
            chain: row.chain,
            event_id: row.event_id,
            event_type: row.event_type,
            state: row.state,
            attempts: row.attempts,
            last_status: row.last_status,
            last_error: row.last_error,
            created_at: row.created_at,
            settled_at: row.settled_at,
        }
    }
}

list_params! {
    /// Filters of the list of events that were put aside.
    DeliveryParams {
        /// Only in this state.
        state: EventDeliveryState = String,
        /// Only of this sink.
        sink: String = String,
    }
}

list_body! {
    /// A page of events that were put aside.
    EventDeliveryList { deliveries: DeliveryView }
}

/// Reason of a second delivery.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryBody {
    /// Reason, for the audit log, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

problems! {
    StreamProblems: AdminRequired;
    DeliveryProblems: AdminRequired, ValidationFailed;
    RetryProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
}

/// List the streams of events to the operators' sinks.
///
/// For admins and viewers. Sinks are settings of the scheduler; a stream appears within seconds after its start.
#[utoipa::path(
    get, path = "/admin/event-streams", tag = "admin",
    responses((status = 200, description = "By sink and chain", body = EventStreamList), StreamProblems),
)]
pub(crate) async fn streams(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
) -> ApiResult<Listing<EventStreamList>> {
    let mut lists = app.lists(&caller).await?;
    let read = lists.event_streams().list().await;
    lists.respond(read, |rows| {
        let streams: Vec<StreamView> = rows.into_iter().map(StreamView::from).collect();
        EventStreamList { total: streams.len(), streams, next_cursor: None }
    })
}

/// List events that were put aside because a sink did not accept them.
///
/// For admins and viewers. They are kept for 30 days after their last change.
#[utoipa::path(
    get, path = "/admin/event-deliveries", tag = "admin", params(DeliveryParams),
    responses((status = 200, description = "Newest first", body = EventDeliveryList), DeliveryProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<DeliveryParams>,
) -> ApiResult<Listing<EventDeliveryList>> {
    let page = params.page()?;
    let filter = DeliveryFilter { state: params.state, sink: params.sink };
    let mut lists = app.lists(&caller).await?;
    let listed = lists.event_deliveries().list(&filter, page).await;
    lists.respond(listed, EventDeliveryList::new)
}

/// Send an event again that was put aside.
///
/// For admins. The scheduler sends it within seconds, in no order with other events, and with the `webhook-id` it had before.
/// A delivered event can be sent again too; a queued one stays as it is. An empty body or `null` gives no reason.
#[utoipa::path(
    post, path = "/admin/event-deliveries/{delivery_id}/retry", tag = "admin", request_body = Option<RetryBody>,
    params(("delivery_id" = uuid::Uuid, Path)),
    responses((status = 202, description = "It is queued", body = DeliveryView), RetryProblems),
)]
pub(crate) async fn retry(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<EventDeliveryId>,
    body: Option<Body<RetryBody>>,
) -> ApiResult<(StatusCode, Json<DeliveryView>)> {
    let reason = body.and_then(|Body(body)| body.reason);
    let delivery = app.operations().retry_event_delivery(&admin, id, reason.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery.into())))
}
