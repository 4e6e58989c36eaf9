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

/// A team of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MyTeam {
    /// Role of the caller: `member`, `viewer` or `admin` for users, `machine_client` for machine clients.
    #[schema(example = "member")]
    pub(crate) role: &'static str,
    #[serde(flatten)]
    pub(crate) team: TeamView,
}

/// Teams of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MyTeams {
    /// Teams, by name.
    pub(crate) teams: Vec<MyTeam>,
    /// Number of teams.
    pub(crate) total: usize,
    /// Always null: this list has one page.
    pub(crate) next_cursor: Option<String>,
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
    let role = caller.role_name();
    let teams: Vec<MyTeam> = teams.into_iter().map(|team| MyTeam { role, team: team.into() }).collect();
    Ok(Json(MyTeams { total: teams.len(), teams, next_cursor: None }))
}
