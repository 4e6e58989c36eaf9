//! The list of machine clients.

use std::collections::BTreeMap;

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::Params,
    caller::SeesAll,
    routes::admin::clients::{self, ClientParams, view::ClientView},
    ui::{
        Frame, OverseeingVisitor, Section, UiResult, page,
        pages::{
            input::PageParams,
            list_filters::{Filters, PAGE_ROWS, counted},
            team_names::team_names,
        },
    },
};

/// Age after which a client that was never used is marked.
const UNUSED: TimeDelta = TimeDelta::days(30);

/// Machine clients, newest first.
#[derive(Template)]
#[template(path = "clients.html")]
struct ClientsPage {
    frame: Frame,
    filters: Filters,
    rows: Vec<ClientView>,
    teams: BTreeMap<Uuid, String>,
    total: String,
    is_first: bool,
    older: Option<String>,
    now: DateTime<Utc>,
}

impl ClientsPage {
    /// Returns whether a client was added long ago and never used.
    fn is_unused(&self, client: &ClientView) -> bool {
        client.last_used_at.is_none() && self.now - client.created_at > UNUSED
    }
}

/// Shows all machine clients.
pub(super) async fn show_list(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageParams(mut params): PageParams<ClientParams>,
) -> UiResult<Response> {
    let filters = Filters::of("/clients")
        .with("q", params.q.clone())
        .with("team", params.team.clone())
        .with("active_only", params.active_only);
    let is_first = params.cursor.is_none();
    params.limit = params.limit.or(Some(PAGE_ROWS));
    let caller = SeesAll(visitor.caller.clone());
    let listed = clients::list(State(app.clone()), caller, Params(params)).await?.into_body();
    let teams = listed.clients.iter().map(|client| client.team_id);
    let teams = team_names(&app, &visitor.caller, teams).await?;
    page(&ClientsPage {
        frame: Frame::new(&app, &visitor, Section::Clients, "Clients").await,
        older: filters.older(listed.next_cursor),
        filters,
        rows: listed.clients,
        teams,
        total: counted(listed.total, listed.total_is_lower_bound, "machine client", "machine clients"),
        is_first,
        now: Utc::now(),
    })
}
