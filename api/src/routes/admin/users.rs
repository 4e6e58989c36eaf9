//! People.

mod change;

use axum::{Json, extract::State, http::StatusCode};
use domain::{AuditEntry, FieldError, Problem, UserId};
use serde::Deserialize;
use serde_json::json;
use store::UserDraft;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::check_issuer;
use crate::{
    app::App,
    body::{Body, Id, Params},
    caller::{Admin, MAX_SUBJECT_BYTES, SeesAll},
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

/// A subject as tokens may have it, and no longer than the index of identities takes.
fn check_subject(wrong: &mut Vec<FieldError>, subject: Option<&str>) {
    check_optional(wrong, "/oidc_sub", subject, 1024);
    if subject.is_some_and(|subject| subject.len() > MAX_SUBJECT_BYTES) {
        wrong.push(FieldError::new("/oidc_sub", "at most 2,000 bytes"));
    }
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

    fn check(&self, app: &App) -> Result<Option<String>, Problem> {
        let mut wrong = Vec::new();
        if self.email.is_none() && self.oidc_sub.is_none() {
            wrong.push(FieldError::new("/email", "this or oidc_sub is needed"));
        }
        if self.email.as_deref().is_some_and(|email| !is_email(email)) {
            wrong.push(FieldError::new("/email", "not an e-mail address"));
        }
        let issuer = self.issuer(app, &mut wrong);
        check_subject(&mut wrong, self.oidc_sub.as_deref());
        check_optional(&mut wrong, "/display_name", self.display_name.as_deref(), 200);
        settle(wrong)?;
        Ok(issuer)
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
    let issuer = body.check(&app)?;
    let draft = UserDraft {
        email: body.email,
        issuer,
        subject: body.oidc_sub,
        display_name: body.display_name,
        is_admin: body.is_admin,
        can_use_jit: body.can_use_jit,
        can_use_registration_token: body.can_use_registration_token,
    };
    let mut tx = app.store.begin().await?;
    let user = tx.users().insert(UserId::new(), &draft).await.map_err(OperationError::from)?;
    let entry = AuditEntry {
        data: json!({ "user_id": user.id, "email": user.email, "is_admin": user.is_admin,
            "issuer": user.issuer, "subject": user.subject }),
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
