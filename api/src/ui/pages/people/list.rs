//! The list of people.

use askama::Template;
use axum::{extract::State, response::Response};

use crate::{
    app::AppState,
    body::Params,
    caller::SeesAll,
    routes::admin::users::{self, UserParams, UserView},
    ui::{
        Frame, OverseeingVisitor, Section, UiResult, page,
        pages::{
            input::PageParams,
            list_filters::{Filters, PAGE_ROWS, counted},
        },
    },
};

/// People, newest first.
#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    frame: Frame,
    filters: Filters,
    rows: Vec<UserView>,
    total: String,
    is_first: bool,
    older: Option<String>,
}

/// Shows all people.
pub(super) async fn show_list(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageParams(mut params): PageParams<UserParams>,
) -> UiResult<Response> {
    let filters = Filters::of("/people").with("q", params.q.clone()).with("active_only", params.active_only);
    let is_first = params.cursor.is_none();
    params.limit = params.limit.or(Some(PAGE_ROWS));
    let caller = SeesAll(visitor.caller.clone());
    let listed = users::list(State(app.clone()), caller, Params(params)).await?.into_body();
    page(&PeoplePage {
        frame: Frame::new(&app, &visitor, Section::People, "People").await,
        older: filters.older(listed.next_cursor),
        filters,
        rows: listed.users,
        total: counted(listed.total, listed.total_is_lower_bound, "person", "people"),
        is_first,
    })
}
