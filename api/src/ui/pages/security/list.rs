//! The list of security events, with the newest incidents.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::Severity;

use crate::{
    app::AppState,
    body::Params,
    caller::SeesAll,
    lists::ListSource,
    routes::admin::{
        incidents::{self, view::IncidentSummary},
        security::{self, SecurityParams, SecurityView},
    },
    ui::{
        Frame, OverseeingVisitor, Section, UiResult, page,
        pages::{
            input::PageParams,
            list_filters::{Filters, PAGE_ROWS, counted},
        },
    },
};

/// Incidents that the first page shows.
const SHOWN_INCIDENTS: usize = 10;

/// Security events, newest first.
#[derive(Template)]
#[template(path = "security.html")]
struct SecurityPage {
    frame: Frame,
    filters: Filters,
    severities: &'static [Severity],
    events: Vec<SecurityView>,
    total: String,
    is_first: bool,
    older: Option<String>,
    incidents: Vec<IncidentSummary>,
}

/// Shows the events.
pub(super) async fn show_list(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageParams(mut params): PageParams<SecurityParams>,
) -> UiResult<Response> {
    let filters = Filters::of("/security")
        .with("event_type", params.event_type.clone())
        .with("severity", params.severity)
        .with("team", params.team.clone())
        .with("user", params.user.clone())
        .with("acknowledged", params.acknowledged)
        .with("since", params.since.map(|at| at.to_rfc3339()))
        .with("until", params.until.map(|at| at.to_rfc3339()));
    let is_first = params.cursor.is_none();
    params.limit = params.limit.or(Some(PAGE_ROWS));
    let caller = || SeesAll(visitor.caller.clone());
    let listed =
        security::list(State(app.clone()), ListSource::Primary, caller(), Params(params)).await?.into_body();
    let mut incidents = incidents::list(State(app.clone()), caller()).await?.into_body().incidents;
    incidents.truncate(SHOWN_INCIDENTS);
    page(&SecurityPage {
        frame: Frame::new(&app, &visitor, Section::Security, "Security").await,
        older: filters.older(listed.next_cursor),
        filters,
        severities: Severity::ALL,
        events: listed.events,
        total: counted(listed.total, listed.total_is_lower_bound, "event", "events"),
        is_first,
        incidents,
    })
}
