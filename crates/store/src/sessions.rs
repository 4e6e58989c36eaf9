//! Sessions of people in the dashboard.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Origin, Principal, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, jobs::seconds};

/// Session queries on one connection.
#[derive(Debug)]
pub struct Sessions<'c>(pub(crate) &'c mut PgConnection);

/// A session to begin.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// Id of the session, for lists.
    pub id: Uuid,
    /// SHA-256 of the cookie.
    pub hash: &'a [u8],
    /// The person.
    pub user: UserId,
    /// The principal that signed in.
    pub principal: &'a Principal,
    /// Longest life.
    pub life: TimeDelta,
    /// The request.
    pub origin: &'a Origin,
}

/// A session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Id of the session.
    pub id: Uuid,
    /// The person.
    pub user: UserId,
    /// The principal that signed in.
    pub principal: Principal,
    /// Time of the sign-in.
    pub created_at: DateTime<Utc>,
    /// Time of the last request, to the minute.
    pub seen_at: DateTime<Utc>,
    /// Its end, if it is used until then.
    pub expires_at: DateTime<Utc>,
    /// Address of the sign-in.
    pub ip: Option<String>,
    /// User agent of the sign-in.
    pub user_agent: Option<String>,
}

/// Columns of a session.
struct Columns {
    id: Uuid,
    user_id: Uuid,
    issuer: String,
    subject: String,
    created_at: DateTime<Utc>,
    seen_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    ip: Option<String>,
    user_agent: Option<String>,
    is_stale: bool,
}

impl From<Columns> for SessionRow {
    fn from(row: Columns) -> Self {
        Self {
            id: row.id,
            user: row.user_id.into(),
            principal: Principal { issuer: row.issuer, subject: row.subject },
            created_at: row.created_at,
            seen_at: row.seen_at,
            expires_at: row.expires_at,
            ip: row.ip,
            user_agent: row.user_agent,
        }
    }
}

impl Sessions<'_> {
    /// Begins a session.
    pub async fn insert(&mut self, session: &NewSession<'_>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO sessions (id, id_hash, user_id, issuer, subject, expires_at, ip, user_agent)
             VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7, $8)",
            session.id,
            session.hash,
            session.user.uuid(),
            session.principal.issuer,
            session.principal.subject,
            seconds(session.life),
            session.origin.ip.map(|ip| ip.to_string()),
            session.origin.user_agent,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns the session of a cookie, unless it has ended or was not used for `idle`, and records the use once a
    /// minute.
    pub async fn find(&mut self, hash: &[u8], idle: TimeDelta) -> Result<Option<SessionRow>> {
        let row = sqlx::query_as!(
            Columns,
            r#"SELECT id, user_id, issuer, subject, created_at, seen_at, expires_at, ip, user_agent,
                seen_at < now() - interval '1 minute' AS "is_stale!"
             FROM sessions WHERE id_hash = $1 AND ended_at IS NULL AND expires_at > now()
                AND seen_at > now() - make_interval(secs => $2)"#,
            hash,
            seconds(idle),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.is_stale {
            sqlx::query!("UPDATE sessions SET seen_at = now() WHERE id = $1 AND ended_at IS NULL", row.id)
                .execute(&mut *self.0)
                .await?;
        }
        Ok(Some(row.into()))
    }

    /// Returns the newest sessions of a person that have not ended, newest first.
    pub async fn of_user(&mut self, user: UserId, idle: TimeDelta, limit: i64) -> Result<Vec<SessionRow>> {
        let rows = sqlx::query_as!(
            Columns,
            r#"SELECT id, user_id, issuer, subject, created_at, seen_at, expires_at, ip, user_agent,
                false AS "is_stale!"
             FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()
                AND seen_at > now() - make_interval(secs => $2)
             ORDER BY created_at DESC, id DESC LIMIT $3"#,
            user.uuid(),
            seconds(idle),
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(SessionRow::from).collect())
    }

    /// Ends one session of a person. Returns whether it was open.
    pub async fn end(&mut self, user: UserId, id: Uuid) -> Result<bool> {
        let ended = sqlx::query!(
            "UPDATE sessions SET ended_at = now() WHERE id = $2 AND user_id = $1 AND ended_at IS NULL",
            user.uuid(),
            id,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(ended.rows_affected() > 0)
    }

    /// Ends all sessions of a person. Returns how many were open.
    pub async fn end_all(&mut self, user: UserId) -> Result<u64> {
        self.end_older(user, 0).await
    }

    /// Ends all sessions of a person. Returns how many could still be used: those that have neither expired nor were
    /// unused for `idle`.
    pub async fn end_open(&mut self, user: UserId, idle: TimeDelta) -> Result<usize> {
        let ended = sqlx::query_scalar!(
            r#"UPDATE sessions SET ended_at = now() WHERE user_id = $1 AND ended_at IS NULL
             RETURNING (expires_at > now() AND seen_at > now() - make_interval(secs => $2)) AS "was_open!""#,
            user.uuid(),
            seconds(idle),
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(ended.into_iter().filter(|was_open| *was_open).count())
    }

    /// Ends all but the newest `keep` sessions of a person. Returns how many were open.
    pub async fn end_older(&mut self, user: UserId, keep: i64) -> Result<u64> {
        let ended = sqlx::query!(
            "UPDATE sessions SET ended_at = now() WHERE id IN (SELECT id FROM sessions
                WHERE user_id = $1 AND ended_at IS NULL ORDER BY created_at DESC, id DESC OFFSET $2)",
            user.uuid(),
            keep,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(ended.rows_affected())
    }

    /// Ends the sessions of all people of an issuer. Returns how many were open.
    pub async fn end_of_issuer(&mut self, issuer: &str) -> Result<u64> {
        let ended = sqlx::query!(
            "UPDATE sessions SET ended_at = now() WHERE issuer = $1 AND ended_at IS NULL",
            issuer,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(ended.rows_affected())
    }

    /// Removes up to `limit` sessions that have expired, and all sign-ins that have. Returns how many rows.
    pub async fn forget(&mut self, limit: i64) -> Result<u64> {
        let sessions = sqlx::query!(
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions
                WHERE expires_at < now() - interval '1 day' ORDER BY expires_at LIMIT $1)",
            limit,
        )
        .execute(&mut *self.0)
        .await?;
        let sign_ins = sqlx::query!(
            "DELETE FROM sign_ins WHERE state_hash IN (SELECT state_hash FROM sign_ins
                WHERE expires_at < now() ORDER BY expires_at LIMIT $1)",
            limit,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(sessions.rows_affected() + sign_ins.rows_affected())
    }
}
