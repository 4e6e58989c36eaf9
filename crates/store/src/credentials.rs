//! Sealed JIT configs: kept until handed out or expired, then shredded.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{JobId, RunnerName, Sealed};
use sqlx::PgConnection;

use crate::{Result, StoreError, jobs::seconds};

/// The sealed configs, on one connection.
#[derive(Debug)]
pub struct Credentials<'c>(pub(crate) &'c mut PgConnection);

/// A config as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCredential {
    /// The sealed config.
    pub sealed: Sealed,
    /// The runner it is for.
    pub runner_name: String,
    /// Not to be used after.
    pub expires_at: DateTime<Utc>,
    /// Whether this was the first time it was handed out.
    pub first: bool,
}

/// Whether there is something to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// There is.
    Ready,
    /// There was.
    Gone,
}

impl Credentials<'_> {
    /// Keeps a config for `life`.
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

    /// Hands a config out: for the first time, or again within 120 s of the first. None: it is gone.
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
            return Err(StoreError::inconsistent("a credential that is neither whole nor shredded"));
        };
        Ok(Some(SealedCredential {
            sealed: Sealed { key_id, wrapped_key, ciphertext },
            runner_name: row.runner_name,
            expires_at: row.expires_at,
            first: row.first,
        }))
    }

    /// Whether there is something to hand out; none: there never was.
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

    /// Empties up to `most` rows that were handed out 120 s ago, or whose time is over. Answers how many.
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
