//! Administration of users: create, list and show.

mod change;
mod view;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use domain::{FieldError, PersonEntry, Problem, Role, UserId};
use operations::{BindingRights, check_invitation, check_user_draft, settle};
use serde::Deserialize;
use store::UserDraft;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::view::UserView;
use super::check_issuer;
use crate::{
    app::AppState,
    body::{Body, Id, Params},
    caller::{Administers, SeesAll},
    error::ApiResult,
    openapi::problems,
    page::{list_body, list_params, only_active},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change::patch, change::put, change::deactivate))
        .routes(routes!(change::activate))
        .routes(routes!(change::unbind))
}

list_params! {
    /// Filters of the list of users.
    UserParams {
        /// Only active users.
        active_only: bool = bool,
        /// The opposite of `active_only`.
        include_inactive: bool = bool,
    }
}

list_body! {
    /// A page of users.
    UserList { users: UserView }
}

problems! {
    CreateProblems: MalformedBody, AdminRequired, AlreadyExists, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ListProblems: AdminRequired, ValidationFailed;
    ShowProblems: AdminRequired, NotFound;
}

/// A new user. An e-mail is an invitation: the first sign-in with that verified e-mail within 30 days binds the user.
/// Issuer and subject bind the user at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// E-mail as in the user's tokens.
    #[schema(example = "ada@example.com", min_length = 5, max_length = 254)]
    email: Option<String>,
    /// Token issuer, one of those configured. For an invitation by e-mail, only tokens of this issuer may bind the
    /// user. By default the first issuer that binds people.
    #[schema(min_length = 1, max_length = 500)]
    issuer: Option<String>,
    /// Token subject.
    #[schema(min_length = 1, max_length = 1024)]
    oidc_sub: Option<String>,
    /// Display name.
    #[schema(min_length = 1, max_length = 200)]
    display_name: Option<String>,
    /// Whether the user is an admin.
    #[serde(default)]
    is_admin: bool,
    /// Whether the user may get JIT configs.
    #[serde(default = "default_true")]
    can_use_jit: bool,
    /// Whether the user may get registration tokens.
    #[serde(default)]
    can_use_registration_token: bool,
}

const fn default_true() -> bool {
    true
}

impl NewUser {
    /// Returns the issuer that was sent, or the first one that binds people.
    fn issuer(&self, app: &AppState, wrong: &mut Vec<FieldError>) -> Option<String> {
        let issuer = self.issuer.clone().or_else(|| app.verifier.binding_issuer().map(str::to_owned));
        match &issuer {
            None => wrong.push(FieldError::new("/issuer", "required: no configured issuer binds people")),
            Some(issuer) => check_issuer(app, wrong, issuer),
        }
        issuer
    }

    /// Returns the draft, or all errors in it.
    fn draft(self, app: &AppState) -> Result<UserDraft, Problem> {
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
        if let Some(issuer) = draft.issuer.as_deref().filter(|issuer| app.verifier.trusts(issuer)) {
            let email = draft.email.as_deref().unwrap_or_default();
            let (people, address) =
                (app.verifier.binds_people(issuer), app.verifier.binds_email(issuer, email));
            wrong.extend(check_invitation(&draft, BindingRights { people, address }));
        }
        settle(wrong)?;
        Ok(draft)
    }
}

/// Returns the draft of a person in a file, or all errors in it.
pub(in crate::routes) fn draft_of_person(app: &AppState, person: PersonEntry) -> Result<UserDraft, Problem> {
    let user = NewUser {
        email: Some(person.email),
        issuer: person.issuer,
        oidc_sub: person.oidc_sub,
        display_name: person.display_name,
        is_admin: person.role == Role::Admin,
        can_use_jit: person.can_use_jit,
        can_use_registration_token: person.can_use_registration_token,
    };
    user.draft(app)
}

/// Add a user.
///
/// For admins. An e-mail is an invitation, which expires after 30 days; `issuer` and `oidc_sub` bind the user at once.
#[utoipa::path(
    post, path = "/admin/users", tag = "admin", request_body = NewUser,
    responses((status = 201, description = "Added", body = UserView), CreateProblems),
)]
pub(crate) async fn create(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Body(body): Body<NewUser>,
) -> ApiResult<(StatusCode, Json<UserView>)> {
    let user = app.operations().create_user(&admin, &body.draft(&app)?).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// List all users.
///
/// For admins and viewers, newest first. The list includes deactivated users unless `active_only` is true.
#[utoipa::path(
    get, path = "/admin/users", tag = "admin", params(UserParams),
    responses((status = 200, description = "Newest first", body = UserList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<UserParams>,
) -> ApiResult<Response> {
    let page = params.page()?;
    let active_only = only_active(params.active_only, params.include_inactive)?;
    let mut lists = app.lists(&caller).await?;
    let listed = lists.users().list(active_only, page).await;
    lists.respond(listed, UserList::new)
}

/// Show a user.
///
/// For admins and viewers.
#[utoipa::path(
    get, path = "/admin/users/{user_id}", tag = "admin", params(("user_id" = Uuid, Path)),
    responses((status = 200, description = "The user", body = UserView), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    _: SeesAll,
    Id(id): Id<UserId>,
) -> ApiResult<Json<UserView>> {
    let user = app.store.conn().await?.users().get(id).await?;
    Ok(Json(user.ok_or_else(|| Problem::not_found("user"))?.into()))
}
