//! Event sinks: how far each one is, and events that were put aside, which an admin sends again.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use domain::{EventDeliveryId, EventDeliveryState};

use super::{
    input::{PageId, PageParams},
    list_filters::{Filters, PAGE_ROWS, counted},
};
use crate::{
    app::AppState,
    body::Params,
    caller::SeesAll,
    routes::admin::event_deliveries::{self, DeliveryParams, DeliveryView, StreamView},
    ui::{
        AdminVisitor, Frame, OverseeingVisitor, Section, UiResult, UiRoutes, done,
        format::{count, span},
        page,
    },
};

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new().get("/sinks", show).post("/sinks/deliveries/{id}/send", send)
}

/// Streams of events, and the events that were put aside, newest first.
#[derive(Template)]
#[template(path = "sinks.html")]
struct SinksPage {
    frame: Frame,
    filters: Filters,
    states: &'static [EventDeliveryState],
    streams: Vec<StreamView>,
    deliveries: Vec<DeliveryView>,
    total: String,
    is_first: bool,
    older: Option<String>,
    now: DateTime<Utc>,
}

impl SinksPage {
    /// Returns the age of the event that a sink does not accept.
    fn lag(&self, stream: &StreamView) -> String {
        stream.waiting_since.map_or_else(|| "none".to_owned(), |since| span(self.now - since))
    }

    fn state(stream: &StreamView) -> &'static str {
        if stream.failing_since.is_some() { "failing" } else { "ok" }
    }

    fn refusals(stream: &StreamView) -> String {
        let refusals = count(stream.refusals.unsigned_abs().into(), "refusal", "refusals");
        let status = stream.last_status.map(|status| format!(", HTTP {status}")).unwrap_or_default();
        let error = stream.last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        format!("{refusals}{status}{error}")
    }
}

/// Shows the sinks.
async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageParams(mut params): PageParams<DeliveryParams>,
) -> UiResult<Response> {
    let filters = Filters::of("/sinks").with("state", params.state).with("sink", params.sink.clone());
    let is_first = params.cursor.is_none();
    params.limit = params.limit.or(Some(PAGE_ROWS));
    let caller = || SeesAll(visitor.caller.clone());
    let streams = event_deliveries::streams(State(app.clone()), caller()).await?.into_body().streams;
    let listed = event_deliveries::list(State(app.clone()), caller(), Params(params)).await?.into_body();
    page(&SinksPage {
        frame: Frame::new(&app, &visitor, Section::Security, "Event sinks").await,
        older: filters.older(listed.next_cursor),
        filters,
        states: EventDeliveryState::ALL,
        streams,
        deliveries: listed.deliveries,
        total: counted(listed.total, listed.total_is_lower_bound, "event", "events"),
        is_first,
        now: app.store.now().await?,
    })
}

/// Queues an event once more. It asks no question: the receiver knows a second delivery by its id.
async fn send(
    State(app): State<AppState>,
    AdminVisitor { admin, .. }: AdminVisitor,
    PageId(id): PageId<EventDeliveryId>,
) -> UiResult<Response> {
    let delivery = app.operations().retry_event_delivery(&admin, id, None).await?;
    Ok(done(
        "/sinks",
        format!("The event {} is sent to {} again within seconds.", delivery.event_type, delivery.sink),
    ))
}
