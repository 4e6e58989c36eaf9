//! People.

use chrono::{DateTime, Utc};
use domain::{Membership, TokenFacts, User, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Listed, Page, Result};

/// The people, on one connection.
#[derive(Debug)]
pub struct Users<'c>(pub(crate) &'c mut PgConnection);

/// What an admin writes about a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserDraft {
    /// E-mail; binds to an identity at the first login.
    pub email: Option<String>,
    /// Token issuer; with an e-mail alone, the only issuer that may bind it.
    pub issuer: Option<String>,
    /// Token subject.
    pub subject: Option<String>,
    /// Name to show.
    pub display_name: Option<String>,
    /// May administer.
    pub is_admin: bool,
    /// May have JIT configs.
    pub can_use_jit: bool,
    /// May have registration tokens.
    pub can_use_registration_token: bool,
}

/// The active admins besides one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherAdmins {
    /// All of them.
    pub all: i64,
    /// Those bound to an identity: the others are invitations.
    pub bound: i64,
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

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id.into(),
            email: row.email,
            issuer: row.issuer,
            subject: row.subject,
            display_name: row.display_name,
            is_admin: row.is_admin,
            is_viewer: row.is_viewer,
            is_active: row.is_active,
            can_use_jit: row.can_use_jit,
            can_use_registration_token: row.can_use_registration_token,
            created_at: row.created_at,
            last_login_at: row.last_login_at,
        }
    }
}

/// Whole users; `$head` and `$tail` around the columns.
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

impl Users<'_> {
    /// The person, if there is one.
    pub async fn get(&mut self, id: UserId) -> Result<Option<User>> {
        let row =
            user_rows!("SELECT", "FROM users WHERE id = $1", id.uuid()).fetch_optional(&mut *self.0).await?;
        Ok(row.map(User::from))
    }

    /// The person, whose row nobody else changes until the end of the transaction.
    pub async fn lock(&mut self, id: UserId) -> Result<Option<User>> {
        let row = user_rows!("SELECT", "FROM users WHERE id = $1 FOR NO KEY UPDATE", id.uuid())
            .fetch_optional(&mut *self.0)
            .await?;
        Ok(row.map(User::from))
    }

    /// Writes everything an admin may change about a person.
    ///
    /// # Errors
    /// `Conflict` by `users_email_key` or `users_identity_key`.
    pub async fn update(&mut self, user: &User) -> Result<()> {
        sqlx::query!(
            "UPDATE users SET email = $2, issuer = $3, subject = $4, display_name = $5, is_admin = $6, is_viewer = $7,
                is_active = $8, can_use_jit = $9, can_use_registration_token = $10 WHERE id = $1",
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

    /// Counts the active admins besides one person: all of them, and those who have signed in. Everyone else who counts
    /// them waits until the end of the transaction.
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

    /// The person with this e-mail, if there is one.
    pub async fn by_email(&mut self, email: &str) -> Result<Option<User>> {
        let row = user_rows!("SELECT", "FROM users WHERE lower(email) = lower($1)", email)
            .fetch_optional(&mut *self.0)
            .await?;
        Ok(row.map(User::from))
    }

    /// The person bound to an identity, and their teams by name.
    pub async fn by_identity(
        &mut self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<(User, Vec<Membership>)>> {
        let row = sqlx::query!(
            r#"SELECT id, email, issuer, subject, display_name, is_admin, is_viewer, is_active, can_use_jit,
                can_use_registration_token, created_at, last_login_at,
                coalesce(last_login_at < now() - interval '5 minutes', true) AS "stale!",
                ARRAY(SELECT team_id FROM team_members JOIN teams t ON t.id = team_id WHERE user_id = users.id
                      ORDER BY lower(name), t.id) AS "team_ids!",
                ARRAY(SELECT name FROM team_members JOIN teams t ON t.id = team_id WHERE user_id = users.id
                      ORDER BY lower(name), t.id) AS "team_names!"
             FROM users WHERE issuer = $1 AND subject = $2"#,
            issuer,
            subject,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.stale {
            sqlx::query!("UPDATE users SET last_login_at = now() WHERE id = $1", row.id)
                .execute(&mut *self.0)
                .await?;
        }
        let teams = row.team_ids.into_iter().zip(row.team_names);
        let user = User {
            id: row.id.into(),
            email: row.email,
            issuer: row.issuer,
            subject: row.subject,
            display_name: row.display_name,
            is_admin: row.is_admin,
            is_viewer: row.is_viewer,
            is_active: row.is_active,
            can_use_jit: row.can_use_jit,
            can_use_registration_token: row.can_use_registration_token,
            created_at: row.created_at,
            last_login_at: row.last_login_at,
        };
        Ok(Some((user, teams.map(|(id, name)| Membership { id: id.into(), name }).collect())))
    }

    /// Binds the person an admin named by e-mail to the identity of a token that carries it. None: nobody is named so
    /// and still unbound, or an admin named another issuer for them.
    pub async fn bind(&mut self, facts: &TokenFacts) -> Result<Option<UserId>> {
        let Some(email) = &facts.email else { return Ok(None) };
        let id = sqlx::query_scalar!(
            "UPDATE users SET issuer = $1, subject = $2, display_name = coalesce(display_name, $3), last_login_at = now()
             WHERE lower(email) = lower($4) AND subject IS NULL AND (issuer IS NULL OR issuer = $1) RETURNING id",
            facts.issuer,
            facts.subject,
            facts.name,
            email,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(id.map(Into::into))
    }

    /// Adds a person.
    ///
    /// # Errors
    /// `Conflict` by `users_email_key` or `users_identity_key`.
    pub async fn insert(&mut self, id: UserId, draft: &UserDraft) -> Result<User> {
        let row = user_rows!(
            "INSERT INTO users (id, email, issuer, subject, display_name, is_admin, can_use_jit,
                can_use_registration_token) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING",
            "",
            id.uuid(),
            draft.email,
            draft.issuer,
            draft.subject,
            draft.display_name,
            draft.is_admin,
            draft.can_use_jit,
            draft.can_use_registration_token,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(row.into())
    }

    /// Makes the person with this e-mail, or this identity, an active admin; adds them if need be. True: something
    /// changed.
    pub async fn make_admin(&mut self, draft: &UserDraft) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE users SET is_admin = true, is_active = true
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

    /// All people.
    pub async fn list(&mut self, page: Page) -> Result<Listed<User>> {
        let rows = user_rows!(
            "SELECT",
            "FROM users WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
            page.before,
            page.limit,
            page.offset,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let total =
            sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM users"#).fetch_one(&mut *self.0).await?;
        Ok(Listed { items: rows.into_iter().map(User::from).collect(), total })
    }
}
