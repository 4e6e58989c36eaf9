//! Sealed JIT configs: kept until they are handed out or expire, then shredded.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{JobId, RunnerName, Sealed};
use sqlx::PgConnection;

use crate::{Result, StoreError, jobs::seconds};

/// Credential queries on one connection.
#[derive(Debug)]
pub struct Credentials<'c>(pub(crate) &'c mut PgConnection);

/// A stored JIT config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCredential {
    /// The sealed config.
    pub sealed: Sealed,
    /// Name of the runner it is for.
    pub runner_name: String,
    /// Time after which it cannot be used.
    pub expires_at: DateTime<Utc>,
    /// Whether it was handed out for the first time.
    pub first: bool,
}

/// Whether a config can be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// The config can be handed out.
    Ready,
    /// The config was shredded, has expired or was handed out too long ago.
    Gone,
}

impl Credentials<'_> {
    /// Stores a config for `life`.
    pub async fn insert(
        &mut self,
        job: JobId,
        name: &RunnerName,
        sealed: &Sealed,
        life: TimeDelta,
    ) -> Result<()> {
        sqlx::query!(
            "INSERT INTO credentials (job_id, runner_name, key_id, wrapped_key, ciphertext, expires_at)
             VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
            job.uuid(),
            name.as_str(),
            sealed.key_id,
            sealed.wrapped_key,
            sealed.ciphertext,
            seconds(life),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Hands a config out for the first time, or again within 120 s of the first time. Returns `None` if it is gone.
    pub async fn hand_out(&mut self, job: JobId) -> Result<Option<SealedCredential>> {
        let row = sqlx::query!(
            r#"UPDATE credentials SET first_read_at = coalesce(first_read_at, clock_timestamp())
             WHERE job_id = $1 AND shredded_at IS NULL AND expires_at > now()
                AND (first_read_at IS NULL OR first_read_at > now() - interval '120 seconds')
             RETURNING runner_name, key_id, wrapped_key, ciphertext, expires_at,
                (first_read_at >= now()) AS "first!""#,
            job.uuid()
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (Some(key_id), Some(wrapped_key), Some(ciphertext)) =
            (row.key_id, row.wrapped_key, row.ciphertext)
        else {
            return Err(StoreError::inconsistent("a credential that is neither complete nor shredded"));
        };
        Ok(Some(SealedCredential {
            sealed: Sealed { key_id, wrapped_key, ciphertext },
            runner_name: row.runner_name,
            expires_at: row.expires_at,
            first: row.first,
        }))
    }

    /// Returns whether a config can be handed out, or `None` if there never was one.
    pub async fn state(&mut self, job: JobId) -> Result<Option<CredentialState>> {
        let ready = sqlx::query_scalar!(
            r#"SELECT (shredded_at IS NULL AND expires_at > now()
                AND (first_read_at IS NULL OR first_read_at > now() - interval '120 seconds')) AS "ready!"
             FROM credentials WHERE job_id = $1"#,
            job.uuid()
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(ready.map(|ready| if ready { CredentialState::Ready } else { CredentialState::Gone }))
    }

    /// Shreds up to `most` configs that were handed out 120 s ago or have expired. Returns how many.
    pub async fn shred(&mut self, most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "UPDATE credentials SET key_id = NULL, wrapped_key = NULL, ciphertext = NULL, shredded_at = now()
             WHERE job_id IN (SELECT job_id FROM credentials WHERE shredded_at IS NULL
                AND (expires_at <= now() OR first_read_at <= now() - interval '120 seconds')
                LIMIT $1 FOR UPDATE SKIP LOCKED)",
            most
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}
