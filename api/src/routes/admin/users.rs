//! People.

mod change;

use axum::{Json, extract::State, http::StatusCode};
use domain::{AuditEntry, FieldError, Problem, UserId};
use serde::Deserialize;
use serde_json::json;
use store::UserDraft;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    body::{Body, Id, Params},
    caller::Admin,
    error::ApiResult,
    openapi::problems,
    origin::From_,
    page::{list_body, list_params},
    views::UserView,
};
use operations::{OperationError, check_optional, is_email, settle};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change::patch, change::put, change::deactivate))
        .routes(routes!(change::activate))
        .routes(routes!(change::unbind))
}

list_params! {
    /// Which people.
    UserParams {}
}

list_body! {
    /// A page of people.
    UserList { users: UserView, by id }
}

problems! {
    CreateProblems: MalformedBody, AdminRequired, AlreadyExists, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ListProblems: AdminRequired, ValidationFailed;
    ShowProblems: AdminRequired, NotFound;
}

/// A new person: named by e-mail, to be bound at the first login, or by issuer and subject at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// E-mail, as their tokens say it.
    #[schema(example = "ada@example.com")]
    email: Option<String>,
    /// Token issuer; with an e-mail alone, the only issuer whose token may bind it.
    issuer: Option<String>,
    /// Token subject; needs `issuer`.
    oidc_sub: Option<String>,
    /// Name to show.
    display_name: Option<String>,
    /// May administer.
    #[serde(default)]
    is_admin: bool,
    /// May have JIT configs.
    #[serde(default = "yes")]
    can_use_jit: bool,
    /// May have registration tokens.
    #[serde(default)]
    can_use_registration_token: bool,
}

const fn yes() -> bool {
    true
}

impl NewUser {
    fn check(&self) -> Result<(), Problem> {
        let mut wrong = Vec::new();
        if self.email.is_none() && self.oidc_sub.is_none() {
            wrong.push(FieldError::new("/email", "this or oidc_sub is needed"));
        }
        if self.email.as_deref().is_some_and(|email| !is_email(email)) {
            wrong.push(FieldError::new("/email", "not an e-mail address"));
        }
        if self.oidc_sub.is_some() && self.issuer.is_none() {
            wrong.push(FieldError::new("/issuer", "needed with oidc_sub"));
        }
        check_optional(&mut wrong, "/issuer", self.issuer.as_deref(), 500);
        check_optional(&mut wrong, "/oidc_sub", self.oidc_sub.as_deref(), 255);
        check_optional(&mut wrong, "/display_name", self.display_name.as_deref(), 200);
        settle(wrong)
    }
}

/// Add a person.
#[utoipa::path(
    post, path = "/admin/users", tag = "admin", request_body = NewUser,
    responses((status = 201, description = "Added", body = UserView), CreateProblems),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Admin(caller): Admin,
    From_(origin): From_,
    Body(body): Body<NewUser>,
) -> ApiResult<(StatusCode, Json<UserView>)> {
    body.check()?;
    let draft = UserDraft {
        email: body.email,
        issuer: body.issuer,
        subject: body.oidc_sub,
        display_name: body.display_name,
        is_admin: body.is_admin,
        can_use_jit: body.can_use_jit,
        can_use_registration_token: body.can_use_registration_token,
    };
    let mut tx = app.store.begin().await?;
    let user = tx.users().insert(UserId::new(), &draft).await.map_err(OperationError::from)?;
    let entry = AuditEntry {
        data: json!({ "user_id": user.id, "email": user.email, "is_admin": user.is_admin }),
        ..AuditEntry::by(&caller, &origin, "user.create")
    };
    tx.audit().write(&entry).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// List all people.
#[utoipa::path(
    get, path = "/admin/users", tag = "admin", params(UserParams),
    responses((status = 200, description = "Newest first", body = UserList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<App>,
    _: Admin,
    Params(params): Params<UserParams>,
) -> ApiResult<Json<UserList>> {
    let page = params.page()?;
    let listed = app.store.read().await?.users().list(page).await?;
    Ok(Json(UserList::new(listed, &page)))
}

/// Show a person.
#[utoipa::path(
    get, path = "/admin/users/{user_id}", tag = "admin", params(("user_id" = Uuid, Path)),
    responses((status = 200, description = "The person", body = UserView), ShowProblems),
)]
pub(crate) async fn show(State(app): State<App>, _: Admin, Id(id): Id<UserId>) -> ApiResult<Json<UserView>> {
    let user = app.store.read().await?.users().get(id).await?;
    Ok(Json(user.ok_or_else(|| Problem::not_found("user"))?.into()))
}
