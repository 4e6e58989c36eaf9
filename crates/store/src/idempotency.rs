//! Idempotency-Keys.

use domain::{JobId, Principal, Requester};
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
    /// The same request was accepted before, as this job, from another subject of the same machine client.
    OtherSubject(JobId),
}

impl Idempotency<'_> {
    /// Takes `key` for `job`, or tells who has it. A second request with the same key waits until the first is
    /// committed or rolled back.
    pub async fn take(
        &mut self,
        (who, asked_by): (Requester, Option<&Principal>),
        key: &str,
        body_hash: &[u8],
        job: JobId,
    ) -> Result<Seen> {
        let asked_by = asked_by.map(Principal::fingerprint);
        let taken = sqlx::query!(
            "INSERT INTO idempotency_keys (requester, key, body_hash, job_id, asked_by) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING",
            who.to_string(),
            key,
            body_hash,
            job.uuid(),
            asked_by,
        )
        .execute(&mut *self.0)
        .await?;
        if taken.rows_affected() == 1 {
            return Ok(Seen::New);
        }
        let row = sqlx::query!(
            "SELECT body_hash, job_id, asked_by FROM idempotency_keys WHERE requester = $1 AND key = $2",
            who.to_string(),
            key,
        )
        .fetch_one(&mut *self.0)
        .await?;
        let job = row.job_id.into();
        // An earlier release wrote no subject; the client as a whole asked then.
        let same_subject = row.asked_by.is_none() || row.asked_by == asked_by;
        Ok(match (row.body_hash == body_hash, same_subject) {
            (true, true) => Seen::Before(job),
            (true, false) => Seen::OtherSubject(job),
            (false, _) => Seen::Mismatch,
        })
    }

    /// Forgets up to `most` keys older than seven days. Answers how many.
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
