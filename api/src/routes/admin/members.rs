//! Members of a team: add, list and remove.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{TeamId, UserId};
use operations::TeamReader;
use serde::{Deserialize, Serialize};
use store::TeamMember;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::users::UserView;
use crate::{
    app::AppState,
    body::{Body, Id, Ids, Params},
    caller::{Administers, ReadsTeams},
    error::ApiResult,
    lists::Listing,
    openapi::problems,
    page::{list_body, list_params},
};

/// A member of a team.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberView {
    /// Id of the user, as `id`.
    pub(crate) user_id: Uuid,
    /// Time at which the user joined the team.
    pub(crate) joined_at: DateTime<Utc>,
    #[serde(flatten)]
    pub(crate) user: UserView,
}

impl From<TeamMember> for MemberView {
    fn from(row: TeamMember) -> Self {
        Self { user_id: row.user.id.uuid(), joined_at: row.joined_at, user: row.user.into() }
    }
}

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(add, list)).routes(routes!(remove))
}

list_params! {
    /// Filters of the list of members.
    MemberParams {}
}

list_body! {
    /// A page of members.
    MemberList { members: MemberView }
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
    pub(crate) user_id: Uuid,
}

/// Add a user to a team. Adding a member again changes nothing.
///
/// For admins. The user must exist; a deactivated user gains no access.
#[utoipa::path(
    post, path = "/admin/teams/{team_id}/members", tag = "admin", params(("team_id" = Uuid, Path)),
    request_body = NewMember,
    responses(
        (status = 201, description = "Added", body = MemberView),
        (status = 200, description = "Already a member", body = MemberView),
        AddProblems,
    ),
)]
pub(crate) async fn add(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(team): Id<TeamId>,
    Body(body): Body<NewMember>,
) -> ApiResult<(StatusCode, Json<MemberView>)> {
    let (member, added) = app.operations().add_member(&admin, team, UserId::from(body.user_id)).await?;
    Ok((if added { StatusCode::CREATED } else { StatusCode::OK }, Json(member.into())))
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
) -> ApiResult<Listing<MemberList>> {
    let page = params.page()?;
    let mut lists = app.lists(&caller).await?;
    let permission = TeamReader::from_caller(&caller, lists.teams().basics(team).await?)?;
    let listed = lists.teams().members(permission.team().id, page).await;
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
