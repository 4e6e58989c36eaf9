//! Starts of jobs and their results, which are written only under the newest fence.

use chrono::TimeDelta;
use domain::{BlockedOn, Job, JobId, JobState, Problem};

use super::{JobRow, Jobs, job_rows, seconds};
use crate::{Result, StoreError, readable::read_row};

/// Counter that a postponed start adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// A failure.
    Attempt,
    /// A delay without a failure: a limit, an outage, a busy runner.
    Snooze,
}

impl Jobs<'_> {
    /// Starts a job that is not final, which increments its fence and one counter. Returns `None` if the job is final
    /// or unknown.
    ///
    /// - `attempts`: the job was queued.
    /// - `rescues`: the job was running under another worker, which has died.
    /// - `snoozes`: the job was running under this worker, or its worker has given it back. The worker is alive; it could
    ///   only not record the result.
    ///
    /// # Errors
    /// `Inconsistent` if this version cannot read the job; nothing is written then.
    pub async fn start(&mut self, id: JobId, worker: &str, given_back: bool) -> Result<Option<Job>> {
        // The row is read before it is written: a newer version may have written a job that only it can run.
        let waiting = job_rows!("SELECT", "FROM jobs WHERE id = $1 AND finished_at IS NULL", id.uuid());
        let waiting: Option<Job> = read_row(waiting.fetch_optional(&mut *self.0).await?)?;
        if waiting.is_none() {
            return Ok(None);
        }
        let row = job_rows!(
            "UPDATE jobs SET state = 'running', blocked_on = NULL, fence = fence + 1, started_by = $2,
                attempts = attempts + (state = 'queued')::int,
                snoozes = snoozes + (state = 'running' AND ($3 OR started_by IS NOT DISTINCT FROM $2))::int,
                rescues = rescues + (state = 'running' AND NOT $3 AND started_by IS DISTINCT FROM $2)::int,
                started_at = coalesce(started_at, now()), updated_at = now()
             WHERE id = $1 AND finished_at IS NULL RETURNING",
            "",
            id.uuid(),
            worker,
            given_back,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        read_row(row)
    }

    /// Writes a final state. Returns `false`, and writes nothing, if the fence is not the newest or the job is final
    /// already.
    pub async fn finish(&mut self, job: &Job, state: JobState, error: Option<&Problem>) -> Result<bool> {
        let error = error.map(serde_json::to_value).transpose().map_err(StoreError::inconsistent)?;
        let done = sqlx::query!(
            "UPDATE jobs SET state = $3, error = $4, blocked_on = NULL, finished_at = now(), updated_at = now()
             WHERE id = $1 AND fence = $2 AND state = 'running'",
            job.id.uuid(),
            job.fence,
            state.as_str(),
            error,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Queues a running job again, to start after `delay`. Returns `false` if the fence is not the newest.
    pub async fn postpone(
        &mut self,
        job: &Job,
        delay: TimeDelta,
        why: BlockedOn,
        count_as: Counter,
    ) -> Result<bool> {
        let snooze = i32::from(count_as == Counter::Snooze);
        let done = sqlx::query!(
            "UPDATE jobs SET state = 'queued', blocked_on = $4, run_at = now() + make_interval(secs => $3),
                attempts = attempts - $5, snoozes = snoozes + $5, updated_at = now()
             WHERE id = $1 AND fence = $2 AND state = 'running'",
            job.id.uuid(),
            job.fence,
            seconds(delay),
            why.as_str(),
            snooze,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Queues a running job again as if it had not started, because its worker is stopping. Returns `false` if the
    /// fence is not the newest.
    pub async fn release(&mut self, job: &Job) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE jobs SET state = 'queued', attempts = greatest(attempts - 1, 0), updated_at = now()
             WHERE id = $1 AND fence = $2 AND state = 'running'",
            job.id.uuid(),
            job.fence,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
