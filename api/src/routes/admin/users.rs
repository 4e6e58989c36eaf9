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
    app::AppState,
    body::{Body, Id, Params},
    caller::{Administers, SeesAll},
    error::ApiResult,
    openapi::problems,
    page::{list_body, list_params, only_active},
    views::UserView,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change::patch, change::put, change::deactivate))
        .routes(routes!(change::activate))
        .routes(routes!(change::unbind))
}

list_params! {
    /// Which people.
    UserParams {
        /// Only active ones.
        active_only: bool = bool,
        /// The opposite of `active_only`.
        include_inactive: bool = bool,
    }
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
    #[schema(example = "ada@example.com", min_length = 5, max_length = 254)]
    email: Option<String>,
    /// Token issuer, one of those configured; with an e-mail alone, the only issuer whose token may bind it. Without it,
    /// the first issuer that binds people.
    #[schema(min_length = 1, max_length = 500)]
    issuer: Option<String>,
    /// Token subject.
    #[schema(min_length = 1, max_length = 1024)]
    oidc_sub: Option<String>,
    /// Name to show.
    #[schema(min_length = 1, max_length = 200)]
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
    fn issuer(&self, app: &AppState, wrong: &mut Vec<FieldError>) -> Option<String> {
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

    /// An invitation that its issuer may never bind is refused at once.
    fn check_domain(&self, app: &AppState, issuer: Option<&str>, wrong: &mut Vec<FieldError>) {
        if self.oidc_sub.is_none()
            && let (Some(issuer), Some(email)) = (issuer, self.email.as_deref())
            && email.contains('@')
            && app.verifier.binds_people(issuer)
            && !app.verifier.binds_email(issuer, email)
        {
            let detail =
                "the issuer's `email_domains` do not hold this domain; give oidc_sub, or add it there";
            wrong.push(FieldError::new("/email", detail));
        }
    }

    /// The draft, or everything that is wrong with it.
    fn draft(self, app: &AppState) -> Result<UserDraft, Problem> {
        let mut wrong = Vec::new();
        let issuer = self.issuer(app, &mut wrong);
        self.check_domain(app, issuer.as_deref(), &mut wrong);
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
///
/// For admins. By e-mail it is an invitation, which ends after 30 days; by `issuer` and `oidc_sub` it is bound at once.
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

/// List all people.
///
/// For admins and viewers, newest first; deactivated people included unless `active_only` is true.
#[utoipa::path(
    get, path = "/admin/users", tag = "admin", params(UserParams),
    responses((status = 200, description = "Newest first", body = UserList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<UserParams>,
) -> ApiResult<Json<UserList>> {
    let page = params.page()?;
    let active_only = only_active(params.active_only, params.include_inactive)?;
    let mut lists = app.lists(&caller).await?;
    let listed = lists.users().list(active_only, page).await;
    let listed = lists.finish(listed)?;
    Ok(Json(UserList::new(listed)))
}

/// Show a person.
///
/// For admins and viewers.
#[utoipa::path(
    get, path = "/admin/users/{user_id}", tag = "admin", params(("user_id" = Uuid, Path)),
    responses((status = 200, description = "The person", body = UserView), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    _: SeesAll,
    Id(id): Id<UserId>,
) -> ApiResult<Json<UserView>> {
    let user = app.store.conn().await?.users().get(id).await?;
    Ok(Json(user.ok_or_else(|| Problem::not_found("user"))?.into()))
}
