//! Idempotency-Keys.

use domain::{JobId, Requester};
use sqlx::PgConnection;

use crate::Result;

/// The keys, on one connection.
#[derive(Debug)]
pub struct Idempotency<'c>(pub(crate) &'c mut PgConnection);

/// What a key was met with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is new and now taken, for the length of this transaction and, once committed, for good.
    New,
    /// The same request was accepted before, as this job.
    Before(JobId),
    /// Another request used it.
    Mismatch,
}

impl Idempotency<'_> {
    /// Takes `key` for `job`, or tells who has it. A second request with the same key waits until the first is
    /// committed or rolled back.
    pub async fn take(&mut self, who: Requester, key: &str, body_hash: &[u8], job: JobId) -> Result<Seen> {
        let taken = sqlx::query!(
            "INSERT INTO idempotency_keys (requester, key, body_hash, job_id) VALUES ($1, $2, $3, $4)
             ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING",
            who.to_string(),
            key,
            body_hash,
            job.uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        if taken.rows_affected() == 1 {
            return Ok(Seen::New);
        }
        let row = sqlx::query!(
            "SELECT body_hash, job_id FROM idempotency_keys WHERE requester = $1 AND key = $2",
            who.to_string(),
            key,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(if row.body_hash == body_hash { Seen::Before(row.job_id.into()) } else { Seen::Mismatch })
    }

    /// Forgets up to `most` keys older than seven days. Answers how many.
    pub async fn forget(&mut self, most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM idempotency_keys WHERE ctid IN
                (SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '7 days' LIMIT $1)",
            most
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}
