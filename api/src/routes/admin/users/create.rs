//! Administration of users: create.

use axum::{Json, extract::State, http::StatusCode};
use domain::{FieldError, PersonEntry, Problem, Role, TeamId};
use operations::{BindingRights, RoleFlags, StatedRole, check_invitation, check_user_draft, settle};
use serde::Deserialize;
use store::UserDraft;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{super::check_issuer, view::UserView};
use crate::{app::AppState, body::Body, caller::Administers, error::ApiResult, openapi::problems};

problems! {
    CreateProblems: MalformedBody, AdminRequired, AlreadyExists, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
}

/// A new user. An e-mail is an invitation: the first sign-in with that verified e-mail within 30 days binds the user.
/// Issuer and subject bind the user at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// E-mail as in the user's tokens.
    #[schema(example = "ada@example.com", min_length = 5, max_length = 254)]
    pub(crate) email: Option<String>,
    /// Token issuer, one of those configured. For an invitation by e-mail, only tokens of this issuer may bind the
    /// user. By default the first issuer that binds people.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) issuer: Option<String>,
    /// Token subject.
    #[schema(min_length = 1, max_length = 1024)]
    pub(crate) oidc_sub: Option<String>,
    /// Display name.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) display_name: Option<String>,
    /// Role: `member` (the default), `viewer` or `admin`.
    pub(crate) role: Option<Role>,
    /// Whether the user is an admin; `role` says it too.
    pub(crate) is_admin: Option<bool>,
    /// Whether the user is a viewer; `role` says it too.
    pub(crate) is_viewer: Option<bool>,
    /// Whether the user may get JIT configs.
    #[serde(default = "default_true")]
    pub(crate) can_use_jit: bool,
    /// Whether the user may get registration tokens.
    #[serde(default)]
    pub(crate) can_use_registration_token: bool,
    /// Teams that the user joins, by id.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub(crate) team_ids: Vec<Uuid>,
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
        let stated = StatedRole { role: self.role, is_admin: self.is_admin, is_viewer: self.is_viewer };
        let flags = stated.flags().unwrap_or_else(|error| {
            wrong.push(error);
            RoleFlags::default()
        });
        let issuer = self.issuer(app, &mut wrong);
        let draft = UserDraft {
            email: self.email,
            issuer,
            subject: self.oidc_sub,
            display_name: self.display_name,
            is_admin: flags.is_admin.unwrap_or(false),
            is_viewer: flags.is_viewer.unwrap_or(false),
            can_use_jit: self.can_use_jit,
            can_use_registration_token: self.can_use_registration_token,
        };
        wrong.extend(check_user_draft(&draft));
        if let Some(issuer) = draft.issuer.as_deref().filter(|issuer| app.verifier.trusts(issuer)) {
            let email = draft.email.as_deref().unwrap_or_default();
            wrong.extend(check_invitation(&draft, binding_rights(app, Some(issuer), email)));
        }
        settle(wrong)?;
        Ok(draft)
    }
}

/// Returns the rights of an issuer about an e-mail address. Without an issuer, the first one that binds people counts.
pub(super) fn binding_rights(app: &AppState, issuer: Option<&str>, email: &str) -> BindingRights {
    let issuer = issuer.or_else(|| app.verifier.binding_issuer()).unwrap_or_default();
    BindingRights {
        people: app.verifier.binds_people(issuer),
        address: app.verifier.binds_email(issuer, email),
    }
}

/// Returns the draft of a person in a file, or all errors in it.
pub(in crate::routes) fn draft_of_person(app: &AppState, person: PersonEntry) -> Result<UserDraft, Problem> {
    let user = NewUser {
        email: Some(person.email),
        issuer: person.issuer,
        oidc_sub: person.oidc_sub,
        display_name: person.display_name,
        role: Some(person.role),
        is_admin: None,
        is_viewer: None,
        can_use_jit: person.can_use_jit,
        can_use_registration_token: person.can_use_registration_token,
        team_ids: Vec::new(),
    };
    user.draft(app)
}

/// Add a user.
///
/// For admins. An e-mail is an invitation, which expires after 30 days; `issuer` and `oidc_sub` bind the user at once.
/// `team_ids` makes the user a member of teams in the same transaction.
#[utoipa::path(
    post, path = "/admin/users", tag = "admin", request_body = NewUser,
    responses((status = 201, description = "Added", body = UserView), CreateProblems),
)]
pub(crate) async fn create(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Body(body): Body<NewUser>,
) -> ApiResult<(StatusCode, Json<UserView>)> {
    let teams: Vec<TeamId> = body.team_ids.iter().copied().map(TeamId::from).collect();
    let user = app.operations().create_user(&admin, &body.draft(&app)?, &teams).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}
