//! View of a user.

use chrono::{DateTime, Utc};
use domain::{Role, User};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A user.
#[expect(clippy::struct_excessive_bools, reason = "four independent permissions")]
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    /// Id of the user.
    pub(crate) id: Uuid,
    /// E-mail of the user.
    pub(crate) email: Option<String>,
    /// Token issuer; with `oidc_sub` the principal, once the user is bound.
    pub(crate) issuer: Option<String>,
    /// Token subject.
    pub(crate) oidc_sub: Option<String>,
    /// Display name.
    pub(crate) display_name: Option<String>,
    /// Role: `member`, `viewer` or `admin`.
    pub(crate) role: Role,
    /// Whether the user is an admin.
    pub(crate) is_admin: bool,
    /// Whether the user is a viewer, who sees everything, changes nothing and gets no config.
    pub(crate) is_viewer: bool,
    /// Whether the user may act.
    pub(crate) is_active: bool,
    /// Whether the user may get JIT configs.
    pub(crate) can_use_jit: bool,
    /// Whether the user may get registration tokens.
    pub(crate) can_use_registration_token: bool,
    /// Time at which the user was added.
    pub(crate) created_at: DateTime<Utc>,
    /// Time of the last request, precise to about five minutes.
    pub(crate) last_login_at: Option<DateTime<Utc>>,
}

impl UserView {
    /// Returns the e-mail address, else the name, else the subject.
    pub(crate) fn shown_name(&self) -> &str {
        let Self { email, display_name, oidc_sub, .. } = self;
        email
            .as_deref()
            .or(display_name.as_deref())
            .or(oidc_sub.as_deref())
            .unwrap_or("a person without a name")
    }
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            role: user.role(),
            id: user.id.uuid(),
            email: user.email,
            issuer: user.issuer,
            oidc_sub: user.subject,
            display_name: user.display_name,
            is_admin: user.is_admin,
            is_viewer: user.is_viewer,
            is_active: user.is_active,
            can_use_jit: user.can_use_jit,
            can_use_registration_token: user.can_use_registration_token,
            created_at: user.created_at,
            last_login_at: user.last_login_at,
        }
    }
}
