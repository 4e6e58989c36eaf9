//! Idempotency keys of requests.

use domain::{JobId, Requester};
use sqlx::PgConnection;

use crate::Result;

/// Idempotency key queries on one connection.
#[derive(Debug)]
pub struct Idempotency<'c>(pub(crate) &'c mut PgConnection);

/// A request with an idempotency key.
#[derive(Clone, Copy, Debug)]
pub struct KeyedRequest<'a> {
    /// Requester; keys of different requesters are independent.
    pub requester: Requester,
    /// Fingerprint of the principal that a machine client used.
    pub asked_by: Option<&'a [u8]>,
    /// Idempotency key.
    pub key: &'a str,
    /// Hash of the request's body.
    pub body_hash: &'a [u8],
}

/// Result of taking an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenKey {
    /// The key is new. It is taken for this transaction and, once committed, for seven days.
    New,
    /// An equal request of the same subject was accepted before, as this job.
    Before(JobId),
    /// A different request used the key.
    Mismatch,
    /// An equal request of another subject of the same machine client was accepted before, as this job.
    OtherSubject(JobId),
}

impl Idempotency<'_> {
    /// Takes the request's key for `job`, or returns which request has it. A second request with an equal key waits
    /// until the first transaction ends.
    pub async fn take_key(&mut self, request: &KeyedRequest<'_>, job: JobId) -> Result<TakenKey> {
        let taken = sqlx::query!(
            "INSERT INTO idempotency_keys (requester, key, body_hash, job_id, asked_by) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING",
            request.requester.to_string(),
            request.key,
            request.body_hash,
            job.uuid(),
            request.asked_by,
        )
        .execute(&mut *self.0)
        .await?;
        if taken.rows_affected() == 1 {
            return Ok(TakenKey::New);
        }
        let row = sqlx::query!(
            "SELECT body_hash, job_id, asked_by FROM idempotency_keys WHERE requester = $1 AND key = $2",
            request.requester.to_string(),
            request.key,
        )
        .fetch_one(&mut *self.0)
        .await?;
        let job = row.job_id.into();
        // Rows of an earlier release name no subject. Those requests came from the client as a whole.
        let same_subject = row.asked_by.is_none() || row.asked_by.as_deref() == request.asked_by;
        Ok(match (row.body_hash == request.body_hash, same_subject) {
            (true, true) => TakenKey::Before(job),
            (true, false) => TakenKey::OtherSubject(job),
            (false, _) => TakenKey::Mismatch,
        })
    }

    /// Deletes up to `most` keys older than seven days. Returns how many.
    pub async fn forget(&mut self, most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM idempotency_keys WHERE ctid IN
                (SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '7 days'
                ORDER BY created_at LIMIT $1)",
            most
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}
