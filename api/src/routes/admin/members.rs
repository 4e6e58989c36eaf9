//! Who belongs to a team.

use axum::{Json, extract::State, http::StatusCode};
use domain::{AuditEntry, Problem, TeamId, UserId};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::App,
    body::{Body, Id, Ids, Params},
    caller::Admin,
    error::ApiResult,
    openapi::problems,
    origin::From_,
    page::{list_body, list_params},
    views::UserView,
};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(add, list)).routes(routes!(remove))
}

list_params! {
    /// Which members.
    MemberParams {}
}

list_body! {
    /// A page of members.
    MemberList { members: UserView, by id }
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
    State(app): State<App>,
    Admin(caller): Admin,
    From_(origin): From_,
    Id(team): Id<TeamId>,
    Body(body): Body<NewMember>,
) -> ApiResult<(StatusCode, Json<UserView>)> {
    let mut tx = app.store.begin().await?;
    tx.teams().policy(team).await?.ok_or_else(|| Problem::not_found("team"))?;
    let unknown = || Problem::field("/user_id", "there is no such user");
    let user = tx.users().get(UserId::from(body.user_id)).await?.ok_or_else(unknown)?;
    let added = tx.teams().add_member(team, user.id).await?;
    if added {
        let entry = AuditEntry {
            team: Some(team),
            data: json!({ "user_id": user.id, "email": user.email }),
            ..AuditEntry::by(&caller, &origin, "member.add")
        };
        tx.audit().write(&entry).await?;
    }
    tx.commit().await?;
    Ok((if added { StatusCode::CREATED } else { StatusCode::OK }, Json(user.into())))
}

/// List who belongs to a team.
#[utoipa::path(
    get, path = "/admin/teams/{team_id}/members", tag = "admin", params(("team_id" = Uuid, Path), MemberParams),
    responses((status = 200, description = "Newest first", body = MemberList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<App>,
    _: Admin,
    Id(team): Id<TeamId>,
    Params(params): Params<MemberParams>,
) -> ApiResult<Json<MemberList>> {
    let page = params.page()?;
    let mut read = app.store.read().await?;
    read.teams().policy(team).await?.ok_or_else(|| Problem::not_found("team"))?;
    let listed = read.teams().members(team, page).await?;
    Ok(Json(MemberList::new(listed, &page)))
}

/// Take a person out of a team.
#[utoipa::path(
    delete, path = "/admin/teams/{team_id}/members/{user_id}", tag = "admin",
    params(("team_id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 204, description = "Taken out"), RemoveProblems),
)]
pub(crate) async fn remove(
    State(app): State<App>,
    Admin(caller): Admin,
    From_(origin): From_,
    Ids(team, user): Ids<TeamId, UserId>,
) -> ApiResult<StatusCode> {
    let mut tx = app.store.begin().await?;
    if !tx.teams().remove_member(team, user).await? {
        return Err(Problem::not_found("member").into());
    }
    let entry = AuditEntry {
        team: Some(team),
        data: json!({ "user_id": user }),
        ..AuditEntry::by(&caller, &origin, "member.remove")
    };
    tx.audit().write(&entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
