//! Who belongs to a team.

use axum::{Json, extract::State, http::StatusCode};
use domain::{Problem, TeamId, UserId};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::{Body, Id, Ids, Params},
    caller::{Administers, ReadsTeams},
    error::ApiResult,
    openapi::problems,
    page::{list_body, list_params},
    views::UserView,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(add, list)).routes(routes!(remove))
}

list_params! {
    /// Which members.
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

/// Who is to belong to a team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMember {
    /// The person.
    user_id: Uuid,
}

/// Add a person to a team. Adding one who belongs to it already changes nothing.
///
/// For admins. The person must be known; adding one who is deactivated gives no access.
#[utoipa::path(
    post, path = "/admin/teams/{team_id}/members", tag = "admin", params(("team_id" = Uuid, Path)),
    request_body = NewMember,
    responses(
        (status = 201, description = "Added", body = UserView),
        (status = 200, description = "Belonged to it already", body = UserView),
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

/// List who belongs to a team: of any for admins, for people of the ones they belong to.
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
) -> ApiResult<Json<MemberList>> {
    let page = params.page()?;
    let mut lists = app.lists(&caller).await?;
    let known = lists.teams().policy(team).await?.filter(|team| caller.may_see(Some(team.id), None));
    known.ok_or_else(|| Problem::not_found("team"))?;
    let listed = lists.teams().members(team, page).await;
    let listed = lists.finish(listed)?;
    Ok(Json(MemberList::new(listed)))
}

/// Take a person out of a team.
///
/// Their open requests for it fail before GitHub is asked and their unread configs are shredded, unless they are an admin.
#[utoipa::path(
    delete, path = "/admin/teams/{team_id}/members/{user_id}", tag = "admin",
    params(("team_id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 204, description = "Taken out"), RemoveProblems),
)]
pub(crate) async fn remove(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Ids(team, user): Ids<TeamId, UserId>,
) -> ApiResult<StatusCode> {
    app.operations().remove_member(&admin, team, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
