//! Starts of jobs and their results, which are written only under the newest fence.

use chrono::TimeDelta;
use domain::{BlockedOn, Job, JobEventKind, JobId, JobState, MAX_RESCUES, Problem};

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

/// A start that ends without a result.
#[derive(Clone, Debug)]
pub struct Postponement<'a> {
    /// Time until the next start.
    pub delay: TimeDelta,
    /// Reason of the wait, as shown to callers.
    pub why: BlockedOn,
    /// Counter of the start.
    pub count_as: Counter,
    /// Failure of the start, for the history.
    pub failure: Option<&'a str>,
}

impl Jobs<'_> {
    /// Starts a job that is not final, which increments its fence and one counter. Returns `None` if the job is final
    /// or unknown.
    ///
    /// - `attempts`: the job was queued.
    /// - `rescues`: the job was running under another worker, which has died.
    /// - `snoozes`: the job was running under this worker, or its worker has given it back. The worker is alive; it could
    ///   only not record the result. Or the other worker died after the last rescue ([`MAX_RESCUES`]): then it ran
    ///   nothing and could only not record that the job is poisoned.
    ///
    /// # Errors
    /// `Inconsistent` if this version cannot read the job; nothing is written then.
    pub async fn start(&mut self, id: JobId, worker: &str, given_back: bool) -> Result<Option<Job>> {
        // The row is read before it is written: a newer version may have written a job that only it can run.
        let waiting = job_rows!("SELECT", "FROM jobs WHERE id = $1 AND finished_at IS NULL", id.uuid());
        let waiting: Option<Job> = read_row(waiting.fetch_optional(&mut *self.0).await?)?;
        let Some(waiting) = waiting else { return Ok(None) };
        if waiting.state == JobState::Running {
            return self.restart(id, worker, given_back).await;
        }
        let row = job_rows!(
            "UPDATE jobs SET state = 'running', blocked_on = NULL, fence = fence + 1, started_by = $2,
                attempts = attempts + (state = 'queued')::int,
                snoozes = snoozes
                    + (state = 'running' AND ($3 OR started_by IS NOT DISTINCT FROM $2 OR rescues >= $4))::int,
                rescues = rescues
                    + (state = 'running' AND NOT ($3 OR started_by IS NOT DISTINCT FROM $2 OR rescues >= $4))::int,
                started_at = coalesce(started_at, now()), run_started_at = now(), updated_at = now()
             WHERE id = $1 AND finished_at IS NULL RETURNING",
            "",
            id.uuid(),
            worker,
            given_back,
            MAX_RESCUES,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        read_row(row)
    }

    /// Starts a job whose row says that it runs, and records the end of that start.
    async fn restart(&mut self, id: JobId, worker: &str, given_back: bool) -> Result<Option<Job>> {
        let row = job_rows!(
            "WITH old AS (
                SELECT id, state, fence, started_by, run_started_at,
                    NOT $3 AND started_by IS DISTINCT FROM $2 AND rescues < $6 AS rescue
                FROM jobs WHERE id = $1 AND finished_at IS NULL FOR UPDATE
            ), event AS (
                INSERT INTO job_events (job_id, slot, fence, worker, started_at, what)
                SELECT id, fence % 64, fence, started_by, run_started_at,
                    CASE WHEN rescue THEN $4 ELSE $5 END
                FROM old WHERE state = 'running'
                ON CONFLICT (job_id, slot) DO UPDATE SET fence = EXCLUDED.fence, worker = EXCLUDED.worker,
                    started_at = EXCLUDED.started_at, at = EXCLUDED.at, what = EXCLUDED.what, detail = NULL, next_at = NULL
            )
            UPDATE jobs SET state = 'running', blocked_on = NULL, fence = jobs.fence + 1, started_by = $2,
                attempts = attempts + (old.state = 'queued')::int,
                snoozes = snoozes + (old.state = 'running' AND NOT old.rescue)::int,
                rescues = rescues + (old.state = 'running' AND old.rescue)::int,
                started_at = coalesce(started_at, now()), run_started_at = now(), updated_at = now()
             FROM old WHERE jobs.id = old.id RETURNING",
            "",
            id.uuid(),
            worker,
            given_back,
            JobEventKind::Rescued.as_str(),
            JobEventKind::Restarted.as_str(),
            MAX_RESCUES,
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

    /// Queues a running job again, to start after a delay, and records the end of its start. Returns `false` if the
    /// fence is not the newest.
    pub async fn postpone(&mut self, job: &Job, postponement: &Postponement<'_>) -> Result<bool> {
        let Postponement { delay, why, count_as, failure } = postponement;
        let (snooze, what) = match count_as {
            Counter::Snooze => (1, JobEventKind::Snoozed),
            Counter::Attempt => (0, JobEventKind::Retried),
        };
        let done = sqlx::query!(
            "WITH moved AS (
                UPDATE jobs SET state = 'queued', blocked_on = $4, run_at = now() + make_interval(secs => $3),
                    attempts = attempts - $5, snoozes = snoozes + $5, updated_at = now()
                WHERE id = $1 AND fence = $2 AND state = 'running'
                RETURNING id, fence, started_by, run_started_at, run_at
            )
            INSERT INTO job_events (job_id, slot, fence, worker, started_at, what, detail, next_at)
            SELECT id, fence % 64, fence, started_by, run_started_at, $6, left($7, 300), run_at FROM moved
            ON CONFLICT (job_id, slot) DO UPDATE SET fence = EXCLUDED.fence, worker = EXCLUDED.worker,
                started_at = EXCLUDED.started_at, at = EXCLUDED.at, what = EXCLUDED.what, detail = EXCLUDED.detail,
                next_at = EXCLUDED.next_at",
            job.id.uuid(),
            job.fence,
            seconds(*delay),
            why.as_str(),
            snooze,
            what.as_str(),
            failure.unwrap_or(why.as_str()),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Queues a running job again as if it had not started, because its worker is stopping. Returns `false` if the
    /// fence is not the newest.
    pub async fn release(&mut self, job: &Job) -> Result<bool> {
        let done = sqlx::query!(
            "WITH moved AS (
                UPDATE jobs SET state = 'queued', attempts = greatest(attempts - 1, 0), updated_at = now()
                WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING id, fence, started_by, run_started_at
            )
            INSERT INTO job_events (job_id, slot, fence, worker, started_at, what)
            SELECT id, fence % 64, fence, started_by, run_started_at, $3 FROM moved
            ON CONFLICT (job_id, slot) DO UPDATE SET fence = EXCLUDED.fence, worker = EXCLUDED.worker,
                started_at = EXCLUDED.started_at, at = EXCLUDED.at, what = EXCLUDED.what, detail = NULL, next_at = NULL",
            job.id.uuid(),
            job.fence,
            JobEventKind::Released.as_str(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
