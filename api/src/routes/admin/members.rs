//! Members of a team: add, list and remove.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use domain::{Problem, TeamId, UserId};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::users::UserView;
use crate::{
    app::AppState,
    body::{Body, Id, Ids, Params},
    caller::{Administers, ReadsTeams},
    error::ApiResult,
    openapi::problems,
    page::{list_body, list_params},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(add, list)).routes(routes!(remove))
}

list_params! {
    /// Filters of the list of members.
    MemberParams {}
}

list_body! {
    /// A page of members.
    MemberList { members: UserView }
}

problems! {
    AddProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ListProblems: AdminRequired, NotFound, ValidationFailed;
    RemoveProblems: AdminRequired, NotFound;
}

/// A new member of a team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMember {
    /// Id of the user.
    user_id: Uuid,
}

/// Add a user to a team. Adding a member again changes nothing.
///
/// For admins. The user must exist; a deactivated user gains no access.
#[utoipa::path(
    post, path = "/admin/teams/{team_id}/members", tag = "admin", params(("team_id" = Uuid, Path)),
    request_body = NewMember,
    responses(
        (status = 201, description = "Added", body = UserView),
        (status = 200, description = "Already a member", body = UserView),
        AddProblems,
    ),
)]
pub(crate) async fn add(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(team): Id<TeamId>,
    Body(body): Body<NewMember>,
) -> ApiResult<(StatusCode, Json<UserView>)> {
    let (user, added) = app.operations().add_member(&admin, team, UserId::from(body.user_id)).await?;
    Ok((if added { StatusCode::CREATED } else { StatusCode::OK }, Json(user.into())))
}

/// List the members of a team: any team for admins, their own teams for other users.
///
/// Newest first.
#[utoipa::path(
    get, path = "/admin/teams/{team_id}/members", tag = "admin", params(("team_id" = Uuid, Path), MemberParams),
    responses((status = 200, description = "Newest first", body = MemberList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    ReadsTeams(caller): ReadsTeams,
    Id(team): Id<TeamId>,
    Params(params): Params<MemberParams>,
) -> ApiResult<Response> {
    let page = params.page()?;
    let mut lists = app.lists(&caller).await?;
    let known = lists.teams().policy(team).await?.filter(|team| caller.may_see(Some(team.id), None));
    known.ok_or_else(|| Problem::not_found("team"))?;
    let listed = lists.teams().members(team, page).await;
    lists.respond(listed, MemberList::new)
}

/// Remove a user from a team.
///
/// Their open requests for the team fail before GitHub is called and their unread configs are shredded, unless they are
/// an admin.
#[utoipa::path(
    delete, path = "/admin/teams/{team_id}/members/{user_id}", tag = "admin",
    params(("team_id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 204, description = "Removed"), RemoveProblems),
)]
pub(crate) async fn remove(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Ids(team, user): Ids<TeamId, UserId>,
) -> ApiResult<StatusCode> {
    app.operations().remove_member(&admin, team, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
