//! The caller's teams.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::admin::TeamView;
use crate::{app::AppState, caller::Authorised, error::ApiResult, openapi::problems};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(my_teams))
}

/// Teams of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MyTeams {
    /// Teams, by name.
    teams: Vec<TeamView>,
    /// Number of teams.
    total: usize,
    /// Always null: this list has one page.
    next_cursor: Option<String>,
}

problems! { MyTeamsProblems: ; }

/// List the teams you belong to.
///
/// One page, by name, with policy and counts. The list includes deactivated teams.
#[utoipa::path(
    get, path = "/teams/my-teams", tag = "me",
    responses((status = 200, description = "By name", body = MyTeams), MyTeamsProblems),
)]
pub(crate) async fn my_teams(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
) -> ApiResult<Json<MyTeams>> {
    let teams = app.store.conn().await?.teams().of_caller(&caller).await?;
    let teams: Vec<TeamView> = teams.into_iter().map(TeamView::from).collect();
    Ok(Json(MyTeams { total: teams.len(), teams, next_cursor: None }))
}
