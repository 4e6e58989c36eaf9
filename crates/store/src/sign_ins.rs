//! Sign-ins to the dashboard that have begun at an issuer and have not come back.

use chrono::TimeDelta;
use sqlx::PgConnection;

use crate::{Result, jobs::seconds};

/// Sign-in queries on one connection.
#[derive(Debug)]
pub struct SignIns<'c>(pub(crate) &'c mut PgConnection);

/// A sign-in that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRow {
    /// SHA-256 of the cookie of the browser.
    pub browser_hash: Vec<u8>,
    /// The issuer.
    pub issuer: String,
    /// Address to which the issuer sends the browser back.
    pub redirect_uri: String,
    /// Nonce that the ID token must have.
    pub nonce: String,
    /// Verifier of the code challenge (RFC 7636).
    pub pkce_verifier: String,
    /// Page to show afterwards.
    pub return_to: String,
}

impl SignIns<'_> {
    /// Begins a sign-in. `hash` is the SHA-256 of its `state`.
    pub async fn insert(&mut self, hash: &[u8], sign_in: &SignInRow, life: TimeDelta) -> Result<()> {
        sqlx::query!(
            "INSERT INTO sign_ins (state_hash, browser_hash, issuer, redirect_uri, nonce, pkce_verifier, return_to,
                expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))",
            hash,
            sign_in.browser_hash,
            sign_in.issuer,
            sign_in.redirect_uri,
            sign_in.nonce,
            sign_in.pkce_verifier,
            sign_in.return_to,
            seconds(life),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns and removes the sign-in with this hash of its `state`, unless it has expired. A second call finds none.
    pub async fn take(&mut self, hash: &[u8]) -> Result<Option<SignInRow>> {
        Ok(sqlx::query_as!(
            SignInRow,
            "DELETE FROM sign_ins WHERE state_hash = $1 AND expires_at > now()
             RETURNING browser_hash, issuer, redirect_uri, nonce, pkce_verifier, return_to",
            hash,
        )
        .fetch_optional(&mut *self.0)
        .await?)
    }
}
