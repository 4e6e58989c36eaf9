//! People.

mod change;

use axum::{Json, extract::State, http::StatusCode};
use domain::{FieldError, Problem, UserId};
use operations::{check_user_draft, settle};
use serde::Deserialize;
use store::UserDraft;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::check_issuer;
use crate::{
    app::App,
    body::{Body, Id, Params},
    caller::{Administers, SeesAll},
    error::ApiResult,
    openapi::problems,
    page::{list_body, list_params},
    views::UserView,
};

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
    UserList { users: UserView }
}

problems! {
    CreateProblems: MalformedBody, AdminRequired, AlreadyExists, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ListProblems: AdminRequired, ValidationFailed;
    ShowProblems: AdminRequired, NotFound;
}

/// A new person: invited by e-mail, to be bound at the first login within 30 days whose e-mail is verified, or named by
/// issuer and subject at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// E-mail, as their tokens say it.
    #[schema(example = "ada@example.com")]
    email: Option<String>,
    /// Token issuer, one of those configured; with an e-mail alone, the only issuer whose token may bind it. Without it,
    /// the first issuer that binds people.
    issuer: Option<String>,
    /// Token subject.
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
    /// The issuer: the one named, or the first that binds people.
    fn issuer(&self, app: &App, wrong: &mut Vec<FieldError>) -> Option<String> {
        let issuer = self.issuer.clone().or_else(|| app.verifier.binding_issuer().map(str::to_owned));
        match &issuer {
            None => wrong.push(FieldError::new("/issuer", "needed: no issuer binds people here")),
            Some(issuer) => {
                check_issuer(app, wrong, issuer);
                if self.oidc_sub.is_none()
                    && app.verifier.trusts(issuer)
                    && !app.verifier.binds_people(issuer)
                {
                    let detail = "this issuer binds nobody by e-mail; give oidc_sub, or set `binds_people`";
                    wrong.push(FieldError::new("/issuer", detail));
                }
            }
        }
        issuer
    }

    /// The draft, or everything that is wrong with it.
    fn draft(self, app: &App) -> Result<UserDraft, Problem> {
        let mut wrong = Vec::new();
        let issuer = self.issuer(app, &mut wrong);
        let draft = UserDraft {
            email: self.email,
            issuer,
            subject: self.oidc_sub,
            display_name: self.display_name,
            is_admin: self.is_admin,
            can_use_jit: self.can_use_jit,
            can_use_registration_token: self.can_use_registration_token,
        };
        wrong.extend(check_user_draft(&draft));
        settle(wrong)?;
        Ok(draft)
    }
}

/// Add a person.
#[utoipa::path(
    post, path = "/admin/users", tag = "admin", request_body = NewUser,
    responses((status = 201, description = "Added", body = UserView), CreateProblems),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Administers(admin): Administers,
    Body(body): Body<NewUser>,
) -> ApiResult<(StatusCode, Json<UserView>)> {
    let user = app.operations().create_user(&admin, &body.draft(&app)?).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// List all people.
#[utoipa::path(
    get, path = "/admin/users", tag = "admin", params(UserParams),
    responses((status = 200, description = "Newest first", body = UserList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<App>,
    SeesAll(caller): SeesAll,
    Params(params): Params<UserParams>,
) -> ApiResult<Json<UserList>> {
    let page = params.page()?;
    let mut lists = app.lists(&caller).await?;
    let listed = lists.users().list(page).await;
    let listed = lists.finish(listed)?;
    Ok(Json(UserList::new(listed)))
}

/// Show a person.
#[utoipa::path(
    get, path = "/admin/users/{user_id}", tag = "admin", params(("user_id" = Uuid, Path)),
    responses((status = 200, description = "The person", body = UserView), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<App>,
    _: SeesAll,
    Id(id): Id<UserId>,
) -> ApiResult<Json<UserView>> {
    let user = app.store.read().await?.users().get(id).await?;
    Ok(Json(user.ok_or_else(|| Problem::not_found("user"))?.into()))
}
