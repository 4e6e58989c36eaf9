//! Removal of old rows after their retention time: oldest first, a bounded number of rows at a time.
//!
//! For jobs and runners, a position records the last row examined. Later batches therefore skip rows that must stay and
//! the dead tuples of removed rows. After a day, the next batch begins at the oldest row again.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, jobs::seconds};

/// Estimated number of history rows of a deleted runner: a batch examines that many times fewer runners than rows.
const ROWS_OF_A_RUNNER: i64 = 5;

/// Result of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Number of removed rows, including rows that referred to them.
    pub removed: u64,
    /// Whether there may be more rows to remove.
    pub is_full: bool,
}

/// The last examined row.
struct Position {
    at: DateTime<Utc>,
    id: Uuid,
}

/// Retention queries on one connection; each batch needs a transaction.
#[derive(Debug)]
pub struct Retention<'c>(pub(crate) &'c mut PgConnection);

impl Retention<'_> {
    /// Examines `most` jobs that became final `age` ago and removes them with their history, calls and shredded configs. A job
    /// stays while its runner is not deleted, a call's outcome is open, a lookup is under way, or its config is not
    /// shredded.
    pub async fn jobs(&mut self, age: TimeDelta, most: i64) -> Result<Pruned> {
        let position = self.lock_position("jobs").await?;
        let batch = sqlx::query_as!(
            Position,
            r#"SELECT finished_at AS "at!", id FROM jobs
            WHERE finished_at < now() - make_interval(secs => $1) AND (finished_at, id) > ($2, $3)
            ORDER BY finished_at, id LIMIT $4"#,
            seconds(age),
            position.at,
            position.id,
            most,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let ids: Vec<Uuid> = batch.iter().map(|row| row.id).collect();
        let removed = sqlx::query_scalar!(
            r#"WITH old AS (
                SELECT jobs.id FROM jobs
                WHERE jobs.id = ANY($1)
                    AND NOT EXISTS (SELECT FROM runners WHERE runners.id = jobs.runner_id AND status <> 'deleted')
                    AND NOT EXISTS (SELECT FROM credentials WHERE job_id = jobs.id AND shredded_at IS NULL)
                    AND NOT EXISTS (SELECT FROM github_calls WHERE job_id = jobs.id
                        AND (state IN ('intent', 'effect_suspected') OR EXISTS (SELECT FROM jobs reap
                            WHERE reap.call_id = github_calls.id AND reap.finished_at IS NULL)))
                FOR UPDATE SKIP LOCKED
            ), calls AS (
                DELETE FROM github_calls WHERE job_id IN (SELECT id FROM old) RETURNING 1
            ), configs AS (
                DELETE FROM credentials WHERE job_id IN (SELECT id FROM old) RETURNING 1
            ), events AS (
                DELETE FROM job_events WHERE job_id IN (SELECT id FROM old) RETURNING 1
            ), gone AS (
                DELETE FROM jobs WHERE id IN (SELECT id FROM old) RETURNING 1
            )
            SELECT (SELECT count(*) FROM calls) + (SELECT count(*) FROM events) + (SELECT count(*) FROM configs) + (SELECT count(*) FROM gone)
                AS "rows!""#,
            &ids,
        )
        .fetch_one(&mut *self.0)
        .await?;
        self.store_position("jobs", batch, most, removed.cast_unsigned()).await
    }

    /// Examines runners deleted `age` ago. Removes their status changes and finished cancellations, at most `most` rows
    /// of each, and the runners to which no row refers any more.
    pub async fn runners(&mut self, age: TimeDelta, most: i64) -> Result<Pruned> {
        let position = self.lock_position("runners").await?;
        let runners = most / ROWS_OF_A_RUNNER;
        let batch = sqlx::query_as!(
            Position,
            r#"SELECT deleted_at AS "at!", id FROM runners
            WHERE status = 'deleted' AND deleted_at < now() - make_interval(secs => $1)
                AND (deleted_at, id) > ($2, $3)
            ORDER BY deleted_at, id LIMIT $4"#,
            seconds(age),
            position.at,
            position.id,
            runners,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let ids: Vec<Uuid> = batch.iter().map(|row| row.id).collect();
        let mut removed = 0;
        for rows in
            [self.delete_status_changes(&ids, most).await?, self.delete_cancellations(&ids, most).await?]
        {
            removed += rows;
            if rows == most.cast_unsigned() {
                return Ok(Pruned { removed, is_full: true });
            }
        }
        let done = sqlx::query!(
            "DELETE FROM runners WHERE id IN (
                SELECT id FROM runners WHERE id = ANY($1) AND status = 'deleted'
                    AND NOT EXISTS (SELECT FROM jobs WHERE runner_id = runners.id)
                    AND NOT EXISTS (SELECT FROM runner_events WHERE runner_id = runners.id)
                    AND NOT EXISTS (SELECT FROM workflow_cancellations WHERE runner_id = runners.id)
                FOR UPDATE SKIP LOCKED)",
            &ids,
        )
        .execute(&mut *self.0)
        .await?;
        self.store_position("runners", batch, runners, removed + done.rows_affected()).await
    }

    async fn delete_status_changes(&mut self, runners: &[Uuid], most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM runner_events WHERE id IN (
                SELECT id FROM runner_events WHERE runner_id = ANY($1) LIMIT $2 FOR UPDATE SKIP LOCKED)",
            runners,
            most,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    async fn delete_cancellations(&mut self, runners: &[Uuid], most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM workflow_cancellations WHERE id IN (
                SELECT id FROM workflow_cancellations WHERE runner_id = ANY($1) AND state <> 'pending'
                LIMIT $2 FOR UPDATE SKIP LOCKED)",
            runners,
            most,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes up to `most` ended or stopped batches that began `age` ago, with their items.
    pub async fn batches(&mut self, age: TimeDelta, most: i64) -> Result<Pruned> {
        let done = sqlx::query!(
            "DELETE FROM batches WHERE id IN (
                SELECT id FROM batches WHERE state <> 'running' AND created_at < now() - make_interval(secs => $1)
                ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)",
            seconds(age),
            most,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(Pruned { removed: done.rows_affected(), is_full: done.rows_affected() == most.cast_unsigned() })
    }

    /// Removes up to `most` incidents that were undone `age` ago, with their changes. An incident that is not undone
    /// stays: its changes are what an undo restores.
    pub async fn incidents(&mut self, age: TimeDelta, most: i64) -> Result<Pruned> {
        let done = sqlx::query!(
            "DELETE FROM incidents WHERE id IN (
                SELECT id FROM incidents WHERE state = 'undone' AND undone_at < now() - make_interval(secs => $1)
                ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)",
            seconds(age),
            most,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(Pruned { removed: done.rows_affected(), is_full: done.rows_affected() == most.cast_unsigned() })
    }

    /// Removes up to `most` audit rows older than `age` and than the age the owner of the tables allows.
    pub async fn audit(&mut self, age: TimeDelta, most: i64) -> Result<Pruned> {
        let gone = sqlx::query_scalar!(
            r#"SELECT prune_audit_log(make_interval(secs => $1), $2) AS "gone!""#,
            seconds(age),
            most,
        );
        let removed = gone.fetch_one(&mut *self.0).await?;
        Ok(Pruned { removed: removed.cast_unsigned(), is_full: removed >= most })
    }

    /// Removes up to `most` security events older than `age` and than the age the owner of the tables allows.
    pub async fn security_events(&mut self, age: TimeDelta, most: i64) -> Result<Pruned> {
        let gone = sqlx::query_scalar!(
            r#"SELECT prune_security_events(make_interval(secs => $1), $2) AS "gone!""#,
            seconds(age),
            most,
        );
        let removed = gone.fetch_one(&mut *self.0).await?;
        Ok(Pruned { removed: removed.cast_unsigned(), is_full: removed >= most })
    }

    /// Returns the position where the table's next batch begins, and locks it until the transaction ends.
    async fn lock_position(&mut self, table: &str) -> Result<Position> {
        let position = sqlx::query_as!(
            Position,
            "UPDATE prune_positions SET
                at = CASE WHEN started_at < now() - interval '1 day' THEN 'epoch' ELSE at END,
                id = CASE WHEN started_at < now() - interval '1 day'
                    THEN '00000000-0000-0000-0000-000000000000' ELSE id END,
                started_at = CASE WHEN started_at < now() - interval '1 day' THEN now() ELSE started_at END
            WHERE table_name = $1 RETURNING at, id",
            table,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(position)
    }

    /// Stores the last row of the batch as the table's position.
    async fn store_position(
        &mut self,
        table: &str,
        batch: Vec<Position>,
        most: i64,
        removed: u64,
    ) -> Result<Pruned> {
        let is_full = i64::try_from(batch.len()).is_ok_and(|rows| rows >= most);
        if let Some(last) = batch.into_iter().max_by_key(|row| (row.at, row.id)) {
            sqlx::query!(
                "UPDATE prune_positions SET at = $2, id = $3 WHERE table_name = $1",
                table,
                last.at,
                last.id,
            )
            .execute(&mut *self.0)
            .await?;
        }
        Ok(Pruned { removed, is_full })
    }
}
