//! Batches and their items.

mod select;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{BatchAction, BatchItemState, BatchState, JobId, Origin, UserId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::select::{BatchSubject, FailureSelection, RunnerSelection, TeamSelection};
use crate::{Result, StoreError, jobs::seconds};

/// Queries of batches on one connection.
#[derive(Debug)]
pub struct BatchRuns<'c>(pub(crate) &'c mut PgConnection);

/// A batch to start.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Id of the batch.
    pub id: Uuid,
    /// Change of each item.
    pub action: BatchAction,
    /// Admin for whom it runs.
    pub admin: UserId,
    /// Selector as it was sent.
    pub selector: Value,
    /// Reason, for the audit rows.
    pub comment: String,
    /// The request.
    pub origin: Origin,
}

/// A batch with the counts of its items.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRow {
    /// Id of the batch.
    pub id: Uuid,
    /// Change of each item.
    pub action: BatchAction,
    /// State.
    pub state: BatchState,
    /// Admin for whom it runs.
    pub admin: UserId,
    /// Selector as it was sent.
    pub selector: Value,
    /// Reason, for the audit rows.
    pub comment: String,
    /// Address of the request.
    pub request_ip: Option<String>,
    /// User agent of the request.
    pub user_agent: Option<String>,
    /// Id of the request.
    pub request_id: Option<String>,
    /// Why it was stopped.
    pub stop_reason: Option<String>,
    /// Time of the start.
    pub created_at: DateTime<Utc>,
    /// Time of the end.
    pub finished_at: Option<DateTime<Utc>>,
    /// Number of items.
    pub total: i64,
    /// Number of items that were changed.
    pub done: i64,
    /// Number of items that were so already or were left alone on purpose.
    pub skipped: i64,
    /// Number of items that were refused.
    pub failed: i64,
}

/// One item of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchItem {
    /// Number of the item, from 1.
    pub number: i32,
    /// The person, team, runner or job.
    pub subject: Uuid,
    /// Its readable name.
    pub name: String,
    /// Outcome.
    pub state: BatchItemState,
    /// Explanation of the outcome.
    pub detail: Option<String>,
    /// The job that removes a runner, or that took the place of a failed one.
    pub job: Option<JobId>,
}

/// Outcome of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome {
    /// State of the item.
    pub state: BatchItemState,
    /// Explanation.
    pub detail: Option<String>,
    /// The job that removes a runner, or that took the place of a failed one.
    pub job: Option<JobId>,
}

impl BatchRuns<'_> {
    /// Writes a batch and its items, in order.
    pub async fn insert(&mut self, batch: &NewBatch, subjects: &[BatchSubject]) -> Result<()> {
        sqlx::query!(
            "INSERT INTO batches (id, action, admin_id, selector, comment, request_ip, user_agent, request_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            batch.id,
            batch.action.as_str(),
            batch.admin.uuid(),
            batch.selector,
            batch.comment,
            batch.origin.ip.map(|ip| ip.to_string()),
            batch.origin.user_agent,
            batch.origin.request_id,
        )
        .execute(&mut *self.0)
        .await?;
        let ids: Vec<Uuid> = subjects.iter().map(|subject| subject.id).collect();
        let names: Vec<String> = subjects.iter().map(|subject| subject.name.clone()).collect();
        sqlx::query!(
            "INSERT INTO batch_items (batch_id, number, subject_id, name)
             SELECT $1, row_number() OVER (ORDER BY place), id, name
             FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY AS subject (id, name, place)",
            batch.id,
            &ids,
            &names,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns a batch.
    pub async fn get(&mut self, id: Uuid) -> Result<Option<BatchRow>> {
        Ok(self.read(Some(id), 1).await?.pop())
    }

    /// Returns the newest batches, newest first.
    pub async fn newest(&mut self, limit: i64) -> Result<Vec<BatchRow>> {
        self.read(None, limit).await
    }

    async fn read(&mut self, id: Option<Uuid>, limit: i64) -> Result<Vec<BatchRow>> {
        let rows = sqlx::query!(
            r#"SELECT id, action, state, admin_id, selector, comment, request_ip, user_agent, request_id, stop_reason,
                created_at, finished_at, total AS "total!", done AS "done!", skipped AS "skipped!",
                failed AS "failed!"
             FROM batches, LATERAL (SELECT count(*) AS total, count(*) FILTER (WHERE state = 'done') AS done,
                count(*) FILTER (WHERE state IN ('unchanged', 'spared')) AS skipped,
                count(*) FILTER (WHERE state = 'failed') AS failed
                FROM batch_items WHERE batch_id = batches.id) AS counts
             WHERE $1::uuid IS NULL OR id = $1 ORDER BY id DESC LIMIT $2"#,
            id,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let batch = rows.into_iter().map(|row| {
            Ok(BatchRow {
                id: row.id,
                action: row.action.parse().map_err(StoreError::inconsistent)?,
                state: row.state.parse().map_err(StoreError::inconsistent)?,
                admin: row.admin_id.into(),
                selector: row.selector,
                comment: row.comment,
                request_ip: row.request_ip,
                user_agent: row.user_agent,
                request_id: row.request_id,
                stop_reason: row.stop_reason,
                created_at: row.created_at,
                finished_at: row.finished_at,
                total: row.total,
                done: row.done,
                skipped: row.skipped,
                failed: row.failed,
            })
        });
        batch.collect()
    }

    /// Returns up to `limit` items after a number, in order.
    pub async fn items(&mut self, batch: Uuid, after: i32, limit: i64) -> Result<Vec<BatchItem>> {
        let rows = sqlx::query!(
            "SELECT number, subject_id, name, state, detail, job_id FROM batch_items
             WHERE batch_id = $1 AND number > $2 ORDER BY number LIMIT $3",
            batch,
            after,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let item = rows.into_iter().map(|row| {
            Ok(BatchItem {
                number: row.number,
                subject: row.subject_id,
                name: row.name,
                state: row.state.parse().map_err(StoreError::inconsistent)?,
                detail: row.detail,
                job: row.job_id.map(Into::into),
            })
        });
        item.collect()
    }

    /// Returns running batches that no process works on, oldest first.
    pub async fn idle(&mut self, limit: i64) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            "SELECT id FROM batches
             WHERE state = 'running' AND coalesce(worked_on_until, '-infinity') < now()
             ORDER BY created_at LIMIT $1",
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Takes or renews the right to work on a running batch for `life`. Returns whether `worker` has it.
    pub async fn take(&mut self, id: Uuid, worker: &str, life: TimeDelta) -> Result<bool> {
        let taken = sqlx::query!(
            "UPDATE batches SET worked_on_by = $2, worked_on_until = now() + make_interval(secs => $3)
             WHERE id = $1 AND state = 'running'
                AND (worked_on_by = $2 OR coalesce(worked_on_until, '-infinity') < now())",
            id,
            worker,
            seconds(life),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Gives the right up.
    pub async fn release(&mut self, id: Uuid, worker: &str) -> Result<()> {
        sqlx::query!(
            "UPDATE batches SET worked_on_until = NULL WHERE id = $1 AND worked_on_by = $2",
            id,
            worker,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns the next items without an outcome.
    pub async fn waiting(&mut self, id: Uuid, limit: i64) -> Result<Vec<BatchItem>> {
        let rows = sqlx::query!(
            "SELECT number, subject_id, name FROM batch_items
             WHERE batch_id = $1 AND state = 'waiting' ORDER BY number LIMIT $2",
            id,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let item = |row: (i32, Uuid, String)| BatchItem {
            number: row.0,
            subject: row.1,
            name: row.2,
            state: BatchItemState::Waiting,
            detail: None,
            job: None,
        };
        Ok(rows.into_iter().map(|row| item((row.number, row.subject_id, row.name))).collect())
    }

    /// Writes the outcome of an item.
    pub async fn finish_item(&mut self, batch: Uuid, number: i32, outcome: &BatchOutcome) -> Result<()> {
        sqlx::query!(
            "UPDATE batch_items SET state = $3, detail = $4, job_id = $5, finished_at = now()
             WHERE batch_id = $1 AND number = $2 AND state = 'waiting'",
            batch,
            number,
            outcome.state.as_str(),
            outcome.detail,
            outcome.job.map(Uuid::from),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Ends a running batch whose items all have an outcome. Returns whether it ended.
    pub async fn finish(&mut self, id: Uuid) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE batches SET state = 'done', finished_at = now(), worked_on_until = NULL
             WHERE id = $1 AND state = 'running'
                AND NOT EXISTS (SELECT FROM batch_items WHERE batch_id = $1 AND state = 'waiting')",
            id,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Stops a running batch. Returns whether it was running.
    pub async fn stop(&mut self, id: Uuid, reason: &str) -> Result<bool> {
        let stopped = sqlx::query!(
            "UPDATE batches SET state = 'stopped', stop_reason = $2, worked_on_until = NULL
             WHERE id = $1 AND state = 'running'",
            id,
            reason,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(stopped.rows_affected() == 1)
    }

    /// Lets a stopped batch go on for another admin. Returns whether it was stopped.
    pub async fn resume(&mut self, id: Uuid, admin: UserId) -> Result<bool> {
        let resumed = sqlx::query!(
            "UPDATE batches SET state = 'running', stop_reason = NULL, admin_id = $2
             WHERE id = $1 AND state = 'stopped'",
            id,
            admin.uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(resumed.rows_affected() == 1)
    }
}
