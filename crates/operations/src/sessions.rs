//! Sessions of people in the dashboard: begin, list and end.

use chrono::TimeDelta;
use domain::{Problem, ProblemCode, UserId};
use serde_json::json;
use store::{NewSession, SessionRow};
use uuid::Uuid;

use crate::{
    Actor, Administrator, Operations, Result, Viewer,
    record::{comment, extend},
    validate::check_reason,
};

/// Most open sessions of one person; the oldest ones end.
const MAX_SESSIONS: i64 = 10;

/// A session to begin.
#[derive(Clone, Copy, Debug)]
pub struct SessionStart<'a> {
    /// SHA-256 of the new cookie.
    pub hash: &'a [u8],
    /// SHA-256 of the cookie that the browser had; its session ends.
    pub replaces: Option<&'a [u8]>,
    /// Longest time without a request.
    pub idle: TimeDelta,
    /// Longest life.
    pub life: TimeDelta,
}

impl Operations<'_> {
    /// Begins a session of a person who has signed in. Their oldest sessions beyond ten end.
    ///
    /// # Errors
    /// `unknown_principal` for a machine client; database errors.
    pub async fn begin_session(&self, by: Actor<'_>, start: &SessionStart<'_>) -> Result<Uuid> {
        let user = person(by)?;
        let id = Uuid::now_v7();
        let mut tx = self.store.begin().await?;
        if let Some(old) = start.replaces
            && let Some(session) = tx.sessions().find(old, start.idle).await?
        {
            tx.sessions().end(session.user, session.id).await?;
        }
        let session = NewSession {
            id,
            hash: start.hash,
            user,
            principal: &by.caller.principal,
            life: start.life,
            origin: by.origin,
        };
        tx.sessions().insert(&session).await?;
        tx.sessions().end_older(user, MAX_SESSIONS).await?;
        let mut entry = by.entry("session.begin");
        entry.data = json!({ "session_id": id, "issuer": by.caller.principal.issuer });
        tx.audit().write(&entry).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Returns the open sessions of the caller, newest first.
    ///
    /// # Errors
    /// `unknown_principal` for a machine client; database errors.
    pub async fn own_sessions(&self, by: Actor<'_>, idle: TimeDelta) -> Result<Vec<SessionRow>> {
        let user = person(by)?;
        Ok(self.store.conn().await?.sessions().of_user(user, idle, MAX_SESSIONS).await?)
    }

    /// Ends one session of the caller.
    ///
    /// # Errors
    /// `not_found` if the caller has no such open session; database errors.
    pub async fn end_session(&self, by: Actor<'_>, id: Uuid) -> Result<()> {
        let user = person(by)?;
        let mut tx = self.store.begin().await?;
        if !tx.sessions().end(user, id).await? {
            return Err(Problem::not_found("session").into());
        }
        let mut entry = by.entry("session.end");
        entry.data = json!({ "session_id": id });
        tx.audit().write(&entry).await?;
        tx.commit().await?;
        self.announce(user).await;
        Ok(())
    }

    /// Ends all sessions of the caller. Returns how many were open.
    ///
    /// # Errors
    /// `unknown_principal` for a machine client; database errors.
    pub async fn end_own_sessions(&self, by: Actor<'_>) -> Result<u64> {
        let user = person(by)?;
        let mut tx = self.store.begin().await?;
        let ended = tx.sessions().end_all(user).await?;
        let mut entry = by.entry("session.end");
        entry.data = json!({ "sessions": ended });
        tx.audit().write(&entry).await?;
        tx.commit().await?;
        self.announce(user).await;
        Ok(ended)
    }

    /// Returns the open sessions of a person, newest first.
    ///
    /// # Errors
    /// `not_found` if there is no such person; database errors.
    pub async fn sessions_of(&self, _: Viewer, user: UserId, idle: TimeDelta) -> Result<Vec<SessionRow>> {
        let mut conn = self.store.conn().await?;
        conn.users().get(user).await?.ok_or_else(|| Problem::not_found("user"))?;
        Ok(conn.sessions().of_user(user, idle, MAX_SESSIONS).await?)
    }

    /// Ends all sessions of a person, and their streams. They may sign in again. Returns how many were open; without an
    /// open one nothing is recorded.
    ///
    /// # Errors
    /// `not_found` if there is no such person, `validation_failed` for an invalid reason; database errors.
    pub async fn end_sessions_of(
        &self,
        admin: &Administrator,
        user: UserId,
        idle: TimeDelta,
        reason: Option<&str>,
    ) -> Result<usize> {
        check_reason("/comment", reason)?;
        let mut tx = self.store.begin().await?;
        let person = tx.users().get(user).await?.ok_or_else(|| Problem::not_found("user"))?;
        let ended = tx.sessions().end_open(user, idle).await?;
        if ended > 0 {
            let mut details = json!({ "user_id": user, "email": person.email, "sessions": ended });
            extend(&mut details, comment(reason));
            tx.audit().write(&admin.record("session.end", None, details)).await?;
        }
        tx.commit().await?;
        self.announce(user).await;
        Ok(ended)
    }

    /// Ends one session of a person, and its streams.
    ///
    /// # Errors
    /// `not_found` if the person has no such session, `validation_failed` for an invalid reason; database errors.
    pub async fn end_session_of(
        &self,
        admin: &Administrator,
        user: UserId,
        session: Uuid,
        reason: Option<&str>,
    ) -> Result<()> {
        check_reason("/comment", reason)?;
        let mut tx = self.store.begin().await?;
        let person = tx.users().get(user).await?.ok_or_else(|| Problem::not_found("user"))?;
        if !tx.sessions().end(user, session).await? {
            return Err(Problem::not_found("session").into());
        }
        let mut details = json!({ "user_id": user, "email": person.email, "session_id": session });
        extend(&mut details, comment(reason));
        tx.audit().write(&admin.record("session.end", None, details)).await?;
        tx.commit().await?;
        self.announce(user).await;
        Ok(())
    }

    /// Lets the open streams of a person check whether their session is still open.
    async fn announce(&self, user: UserId) {
        if let Err(error) = self.queue.announce_access(&user.to_string()).await {
            tracing::warn!(%error, "queue unavailable; streams check their sessions within 30 s");
        }
    }
}

fn person(by: Actor<'_>) -> Result<UserId> {
    let detail = "The dashboard is for people; a machine client calls the API with its token.";
    let problem = || Problem::new(ProblemCode::UnknownPrincipal, detail);
    Ok(by.caller.requester.user().ok_or_else(problem)?)
}
