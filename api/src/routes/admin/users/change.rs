//! Administration of users: change, deactivate, activate and unbind.

use axum::{Json, extract::State, http::StatusCode};
use domain::{Role, UserId};
use operations::{RoleFlags, StatedRole, UserChange, settle};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    super::{Comment, check_issuer, nullable},
    create::binding_rights,
    view::UserView,
};
use crate::{
    app::AppState,
    body::{Body, Id},
    caller::Administers,
    error::ApiResult,
    openapi::problems,
};

problems! {
    ChangeProblems: MalformedBody, AdminRequired, NotFound, AlreadyExists, LastAdmin, PayloadTooLarge,
        UnsupportedMediaType, ValidationFailed;
    CommentProblems: MalformedBody, AdminRequired, NotFound, LastAdmin, PayloadTooLarge, UnsupportedMediaType,
        ValidationFailed;
}

/// Changes of a user. Members that are not sent keep their values.
#[expect(clippy::option_option, reason = "an absent member and a null differ in a PATCH")]
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChangedUser {
    /// E-mail as in the user's tokens.
    #[schema(min_length = 5, max_length = 254)]
    pub(crate) email: Option<String>,
    /// Token issuer, one of those configured.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) issuer: Option<String>,
    /// Token subject, which binds the user to it. Null unbinds the user; the next sign-in with their e-mail binds
    /// again.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1024)]
    pub(crate) oidc_sub: Option<Option<String>>,
    /// Display name.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    pub(crate) display_name: Option<Option<String>>,
    /// Role: `member`, `viewer` or `admin`.
    pub(crate) role: Option<Role>,
    /// Whether the user is an admin; `role` says it too.
    pub(crate) is_admin: Option<bool>,
    /// Whether the user is a viewer, who sees everything, changes nothing and gets no config; `role` says it too.
    pub(crate) is_viewer: Option<bool>,
    /// Whether the user may act. When it becomes false, open requests are cancelled and unread configs shredded.
    pub(crate) is_active: Option<bool>,
    /// Whether the user may get JIT configs.
    pub(crate) can_use_jit: Option<bool>,
    /// Whether the user may get registration tokens.
    pub(crate) can_use_registration_token: Option<bool>,
    /// Comment for the audit log, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) comment: Option<String>,
}

async fn change(
    app: &AppState,
    by: &Administers,
    id: UserId,
    body: ChangedUser,
) -> ApiResult<Json<UserView>> {
    let mut errors = Vec::new();
    if let Some(issuer) = &body.issuer {
        check_issuer(app, &mut errors, issuer);
    }
    let stated = StatedRole { role: body.role, is_admin: body.is_admin, is_viewer: body.is_viewer };
    let flags = stated.flags().unwrap_or_else(|error| {
        errors.push(error);
        RoleFlags::default()
    });
    settle(errors)?;
    let change = UserChange {
        email: body.email,
        issuer: body.issuer,
        subject: body.oidc_sub,
        display_name: body.display_name,
        is_admin: flags.is_admin,
        is_viewer: flags.is_viewer,
        is_active: body.is_active,
        can_use_jit: body.can_use_jit,
        can_use_registration_token: body.can_use_registration_token,
    };
    let rights = |issuer: Option<&str>, email: &str| binding_rights(app, issuer, email);
    let user = app.operations().change_user(&by.0, id, change, body.comment.as_deref(), &rights).await?;
    Ok(Json(user.into()))
}

/// Change a user.
///
/// Only the members sent change. The last active admin stays an active admin.
#[utoipa::path(
    patch, path = "/admin/users/{user_id}", tag = "admin", params(("user_id" = Uuid, Path)), request_body = ChangedUser,
    responses((status = 200, description = "The updated user", body = UserView), ChangeProblems),
)]
pub(crate) async fn patch(
    State(app): State<AppState>,
    by: Administers,
    Id(id): Id<UserId>,
    Body(body): Body<ChangedUser>,
) -> ApiResult<Json<UserView>> {
    change(&app, &by, id, body).await
}

/// Change a user. PUT does the same as PATCH: members that are not sent keep their values.
///
/// For clients that cannot send PATCH.
#[utoipa::path(
    put, path = "/admin/users/{user_id}", tag = "admin", params(("user_id" = Uuid, Path)), request_body = ChangedUser,
    responses((status = 200, description = "The updated user", body = UserView), ChangeProblems),
)]
pub(crate) async fn put(
    State(app): State<AppState>,
    by: Administers,
    Id(id): Id<UserId>,
    Body(body): Body<ChangedUser>,
) -> ApiResult<Json<UserView>> {
    change(&app, &by, id, body).await
}

/// Deactivate a user.
///
/// The user may no longer act: their streams and waiting requests end, their open requests are cancelled and their
/// unread configs shredded. Their runners stay. The row stays for the audit log; `activate` reverses the deactivation.
#[utoipa::path(
    delete, path = "/admin/users/{user_id}", tag = "admin", params(("user_id" = Uuid, Path)),
    request_body = Option<Comment>,
    responses((status = 204, description = "Deactivated, or already inactive"), CommentProblems),
)]
pub(crate) async fn deactivate(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<UserId>,
    body: Option<Body<Comment>>,
) -> ApiResult<StatusCode> {
    app.operations().deactivate_user(&admin, id, Comment::of(body).as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Activate a user again, with their former rights and teams.
///
/// Requests that were cancelled stay cancelled.
#[utoipa::path(
    post, path = "/admin/users/{user_id}/activate", tag = "admin", params(("user_id" = Uuid, Path)),
    request_body = Option<Comment>,
    responses((status = 200, description = "The updated user", body = UserView), CommentProblems),
)]
pub(crate) async fn activate(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<UserId>,
    body: Option<Body<Comment>>,
) -> ApiResult<Json<UserView>> {
    let user = app.operations().activate_user(&admin, id, Comment::of(body).as_deref()).await?;
    Ok(Json(user.into()))
}

/// Unbind a user from their identity, for a user with a new subject at the identity provider.
///
/// The next sign-in with their e-mail address binds the new identity.
#[utoipa::path(
    post, path = "/admin/users/{user_id}/unbind", tag = "admin", params(("user_id" = Uuid, Path)),
    request_body = Option<Comment>,
    responses((status = 200, description = "The updated user", body = UserView), CommentProblems),
)]
pub(crate) async fn unbind(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<UserId>,
    body: Option<Body<Comment>>,
) -> ApiResult<Json<UserView>> {
    let user = app.operations().unbind_user(&admin, id, Comment::of(body).as_deref()).await?;
    Ok(Json(user.into()))
}
