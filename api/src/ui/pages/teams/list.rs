//! The list of teams.

use askama::Template;
use axum::{extract::State, response::Response};

use crate::{
    app::AppState,
    body::Params,
    caller::ReadsTeams,
    routes::admin::teams::{self, TeamParams, TeamView},
    ui::{
        Frame, Section, UiResult, Visitor, page,
        pages::{
            input::PageParams,
            list_filters::{Filters, PAGE_ROWS, counted},
        },
    },
};

/// Teams, newest first.
#[derive(Template)]
#[template(path = "teams.html")]
struct TeamsPage {
    frame: Frame,
    filters: Filters,
    rows: Vec<TeamView>,
    total: String,
    is_first: bool,
    older: Option<String>,
}

/// Returns a policy in short.
pub(super) fn policy_in_short(team: &TeamView) -> String {
    let mut parts = Vec::new();
    if !team.required_labels.is_empty() {
        parts.push(format!("adds {}", team.required_labels.join(", ")));
    }
    parts.push(match team.optional_label_patterns.as_slice() {
        [] => "no further labels but GitHub's own".to_owned(),
        patterns => format!("allows {}", patterns.join(", ")),
    });
    parts.join("; ")
}

/// Shows the teams that the visitor may see.
pub(super) async fn show_list(
    State(app): State<AppState>,
    visitor: Visitor,
    PageParams(mut params): PageParams<TeamParams>,
) -> UiResult<Response> {
    let filters = Filters::of("/teams").with("q", params.q.clone()).with("active_only", params.active_only);
    let is_first = params.cursor.is_none();
    params.limit = params.limit.or(Some(PAGE_ROWS));
    let caller = ReadsTeams(visitor.caller.clone());
    let listed = teams::list(State(app.clone()), caller, Params(params)).await?.into_body();
    page(&TeamsPage {
        frame: Frame::new(&app, &visitor, Section::Teams, "Teams").await,
        older: filters.older(listed.next_cursor),
        filters,
        rows: listed.teams,
        total: counted(listed.total, listed.total_is_lower_bound, "team", "teams"),
        is_first,
    })
}
