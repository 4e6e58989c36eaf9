//! Users: the people who may use the service.

mod list;

use chrono::{DateTime, Utc};
use domain::{Membership, TokenFacts, User, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::list::UserFilter;
use crate::Result;

/// User queries on one connection.
#[derive(Debug)]
pub struct Users<'c>(pub(crate) &'c mut PgConnection);

/// Values an admin sets for a new user.
#[expect(clippy::struct_excessive_bools, reason = "four independent permissions")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserDraft {
    /// E-mail address; binds the user at the first sign-in.
    pub email: Option<String>,
    /// Token issuer. For an invitation by e-mail it is the only issuer that may bind the user.
    pub issuer: Option<String>,
    /// Token subject.
    pub subject: Option<String>,
    /// Name to show.
    pub display_name: Option<String>,
    /// Whether the user is an admin.
    pub is_admin: bool,
    /// Whether the user is a viewer.
    pub is_viewer: bool,
    /// Whether the user may request JIT configs.
    pub can_use_jit: bool,
    /// Whether the user may request registration tokens.
    pub can_use_registration_token: bool,
}

/// Numbers of active admins other than one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherAdmins {
    /// All of them.
    pub all: i64,
    /// Those bound to a principal; the others are invited.
    pub bound: i64,
}

/// Result of binding a token to an invited user.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// The user is bound to the token's principal.
    Bound(User),
    /// An admin invited this e-mail address, but the token may not bind it.
    Refused(User, BindRefusal),
    /// No user has this e-mail address.
    NotInvited,
}

/// Reason why a token may not bind an invited user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindRefusal {
    /// The user is bound to another subject.
    BoundAlready,
    /// The user is deactivated.
    Inactive,
    /// The invitation is older than 30 days.
    Expired,
    /// The invitation names another issuer.
    OtherIssuer,
}

#[expect(clippy::struct_excessive_bools, reason = "the columns of the table")]
pub(crate) struct UserRow {
    pub(crate) id: Uuid,
    pub(crate) email: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) is_admin: bool,
    pub(crate) is_viewer: bool,
    pub(crate) is_active: bool,
    pub(crate) can_use_jit: bool,
    pub(crate) can_use_registration_token: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_login_at: Option<DateTime<Utc>>,
}

/// Returns the user of a row that has all columns of a user, and possibly more.
macro_rules! user_of {
    ($row:ident) => {
        User {
            id: $row.id.into(),
            email: $row.email,
            issuer: $row.issuer,
            subject: $row.subject,
            display_name: $row.display_name,
            is_admin: $row.is_admin,
            is_viewer: $row.is_viewer,
            is_active: $row.is_active,
            can_use_jit: $row.can_use_jit,
            can_use_registration_token: $row.can_use_registration_token,
            created_at: $row.created_at,
            last_login_at: $row.last_login_at,
        }
    };
}

pub(crate) use user_of;

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        user_of!(row)
    }
}

/// Complete users; `$head` and `$tail` stand around the columns.
macro_rules! user_rows {
    ($head:tt, $tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            UserRow,
            $head + " id, email, issuer, subject, display_name, is_admin, is_viewer, is_active, can_use_jit,
                can_use_registration_token, created_at, last_login_at " + $tail
            $(, $arg)*
        )
    };
}

pub(crate) use user_rows;

impl Users<'_> {
    /// Returns the user, if it exists.
    pub async fn get(&mut self, id: UserId) -> Result<Option<User>> {
        let row =
            user_rows!("SELECT", "FROM users WHERE id = $1", id.uuid()).fetch_optional(&mut *self.0).await?;
        Ok(row.map(User::from))
    }

    /// Returns the user and locks its row against changes until the end of the transaction.
    pub async fn lock(&mut self, id: UserId) -> Result<Option<User>> {
        let row = user_rows!("SELECT", "FROM users WHERE id = $1 FOR NO KEY UPDATE", id.uuid())
            .fetch_optional(&mut *self.0)
            .await?;
        Ok(row.map(User::from))
    }

    /// Writes every column that an admin may change. A new invitation begins if the user is unbound, gets another
    /// e-mail address or issuer, or is activated.
    ///
    /// # Errors
    /// `Conflict` by `users_email_key` or `users_identity_key`.
    pub async fn update(&mut self, user: &User) -> Result<()> {
        sqlx::query!(
            "UPDATE users SET email = $2, issuer = $3, subject = $4, display_name = $5, is_admin = $6, is_viewer = $7,
                is_active = $8, can_use_jit = $9, can_use_registration_token = $10,
                invited_at = CASE WHEN $4::text IS NULL AND (subject IS NOT NULL OR lower(email) IS DISTINCT FROM lower($2)
                    OR issuer IS DISTINCT FROM $3 OR (NOT is_active AND $8)) THEN now() ELSE invited_at END
             WHERE id = $1",
            user.id.uuid(),
            user.email,
            user.issuer,
            user.subject,
            user.display_name,
            user.is_admin,
            user.is_viewer,
            user.is_active,
            user.can_use_jit,
            user.can_use_registration_token,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Counts the active admins other than one user. Concurrent counts wait until the end of the transaction.
    pub async fn count_other_admins(&mut self, id: UserId) -> Result<OtherAdmins> {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('admins', 0))")
            .execute(&mut *self.0)
            .await?;
        let row = sqlx::query!(
            r#"SELECT count(*) AS "all!", count(subject) AS "bound!" FROM users
             WHERE is_admin AND is_active AND id <> $1"#,
            id.uuid()
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(OtherAdmins { all: row.all, bound: row.bound })
    }

    /// Returns the user with this e-mail address, if it exists.
    pub async fn by_email(&mut self, email: &str) -> Result<Option<User>> {
        let row = user_rows!("SELECT", "FROM users WHERE lower(email) = lower($1)", email)
            .fetch_optional(&mut *self.0)
            .await?;
        Ok(row.map(User::from))
    }

    /// Returns the user bound to a principal, if it exists, and records no sign-in.
    pub async fn find(&mut self, issuer: &str, subject: &str) -> Result<Option<User>> {
        let row = user_rows!("SELECT", "FROM users WHERE issuer = $1 AND subject = $2", issuer, subject)
            .fetch_optional(&mut *self.0)
            .await?;
        Ok(row.map(User::from))
    }

    /// Returns the user bound to a principal, and their teams by name.
    pub async fn by_identity(
        &mut self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<(User, Vec<Membership>)>> {
        let row = sqlx::query!(
            r#"SELECT id, email, issuer, subject, display_name, is_admin, is_viewer, can_use_jit,
                is_active AND NOT EXISTS (SELECT FROM blocked_issuers WHERE issuer = $1) AS "is_active!",
                can_use_registration_token, created_at, last_login_at,
                coalesce(last_login_at < now() - interval '5 minutes', true) AS "stale!",
                team_ids AS "team_ids!", team_names AS "team_names!", team_actives AS "team_actives!"
             FROM users, LATERAL (
                SELECT coalesce(array_agg(t.id ORDER BY lower(name), t.id), '{}') AS team_ids,
                    coalesce(array_agg(name ORDER BY lower(name), t.id), '{}') AS team_names,
                    coalesce(array_agg(t.is_active ORDER BY lower(name), t.id), '{}') AS team_actives
                FROM team_members JOIN teams t ON t.id = team_id WHERE user_id = users.id
             ) AS of_teams
             WHERE issuer = $1 AND subject = $2"#,
            issuer,
            subject,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.stale {
            // A sign-in does not wait for a change of the row that takes long.
            sqlx::query!(
                "UPDATE users SET last_login_at = now()
                 WHERE id = (SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)",
                row.id
            )
            .execute(&mut *self.0)
            .await?;
        }
        let teams = row.team_ids.into_iter().zip(row.team_names).zip(row.team_actives);
        let user = user_of!(row);
        let teams = teams.map(|((id, name), is_active)| Membership { id: id.into(), name, is_active });
        Ok(Some((user, teams.collect())))
    }

    /// Binds the user invited by e-mail to the principal of a token that may bind it. Invitations without an issuer
    /// count as for `default_issuer`.
    pub async fn bind(&mut self, facts: &TokenFacts, default_issuer: Option<&str>) -> Result<Binding> {
        let Some(email) = &facts.binding_email else { return Ok(Binding::NotInvited) };
        let bound = user_rows!(
            "UPDATE users SET issuer = $1, subject = $2, display_name = coalesce(display_name, $3), last_login_at = now()
             WHERE lower(email) = lower($4) AND subject IS NULL AND is_active AND coalesce(issuer, $5) = $1
                AND coalesce(invited_at, created_at) > now() - interval '30 days' RETURNING",
            "",
            facts.issuer,
            facts.subject,
            facts.name,
            email,
            default_issuer,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        if let Some(row) = bound {
            return Ok(Binding::Bound(row.into()));
        }
        let refused = self.by_email(email).await?;
        Ok(refused.map_or(Binding::NotInvited, |user| {
            let why = if user.subject.is_some() {
                BindRefusal::BoundAlready
            } else if !user.is_active {
                BindRefusal::Inactive
            } else if user.issuer.as_deref().or(default_issuer) == Some(&facts.issuer) {
                BindRefusal::Expired
            } else {
                BindRefusal::OtherIssuer
            };
            Binding::Refused(user, why)
        }))
    }

    /// Writes the issuer into invitations of an earlier release, which have none. Returns how many.
    pub async fn set_missing_issuers(&mut self, issuer: &str) -> Result<u64> {
        let done = sqlx::query!("UPDATE users SET issuer = $1 WHERE issuer IS NULL", issuer)
            .execute(&mut *self.0)
            .await?;
        Ok(done.rows_affected())
    }

    /// Returns how many users have no issuer, or one that does not begin with `prefix`.
    pub async fn count_of_other_issuers(&mut self, prefix: &str) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM users WHERE NOT coalesce(starts_with(issuer, $1), false)"#,
            prefix
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Inserts a user.
    ///
    /// # Errors
    /// `Conflict` by `users_email_key` or `users_identity_key`.
    pub async fn insert(&mut self, id: UserId, draft: &UserDraft) -> Result<User> {
        let row = user_rows!(
            "INSERT INTO users (id, email, issuer, subject, display_name, is_admin, can_use_jit,
                can_use_registration_token, is_viewer) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING",
            "",
            id.uuid(),
            draft.email,
            draft.issuer,
            draft.subject,
            draft.display_name,
            draft.is_admin,
            draft.can_use_jit,
            draft.can_use_registration_token,
            draft.is_viewer,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(row.into())
    }

    /// Makes the user with this e-mail address or principal an active admin, and inserts the user if there is none.
    /// Returns whether a row was written.
    pub async fn make_admin(&mut self, draft: &UserDraft) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE users SET is_admin = true, is_active = true, issuer = coalesce(issuer, $2),
                invited_at = CASE WHEN subject IS NULL THEN now() END
             WHERE (lower(email) = lower($1) OR (issuer = $2 AND subject = $3))",
            draft.email,
            draft.issuer,
            draft.subject,
        )
        .execute(&mut *self.0)
        .await?;
        if done.rows_affected() > 0 {
            return Ok(true);
        }
        let draft = UserDraft { is_admin: true, can_use_jit: true, ..draft.clone() };
        self.insert(UserId::new(), &draft).await.map(|_| true)
    }
}
