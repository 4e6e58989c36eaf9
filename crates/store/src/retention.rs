//! What is over is kept for a while, then removed: oldest first, a bounded number of rows at a time.

use chrono::TimeDelta;
use sqlx::PgConnection;

use crate::{Result, jobs::seconds};

/// Rows a job has at most in this table and those that refer to it: three calls, a config and itself.
const ROWS_OF_A_JOB: i64 = 5;

/// What is kept for a while, on one connection.
#[derive(Debug)]
pub struct Retention<'c>(pub(crate) &'c mut PgConnection);

impl Retention<'_> {
    /// Removes jobs that became final `age` ago, with their calls and their emptied configs, up to `most` rows of all
    /// three. Stays: a job whose runner is not deleted, that has a call whose outcome is open or is being looked up, or
    /// whose config is not shredded. Answers how many rows went.
    pub async fn jobs(&mut self, age: TimeDelta, most: i64) -> Result<u64> {
        let gone = sqlx::query_scalar!(
            r#"WITH old AS (
                SELECT jobs.id FROM jobs
                WHERE finished_at < now() - make_interval(secs => $1)
                    AND NOT EXISTS (SELECT FROM runners WHERE runners.id = jobs.runner_id AND status <> 'deleted')
                    AND NOT EXISTS (SELECT FROM credentials WHERE job_id = jobs.id AND shredded_at IS NULL)
                    AND NOT EXISTS (SELECT FROM github_calls WHERE job_id = jobs.id
                        AND (state IN ('intent', 'effect_suspected') OR EXISTS (SELECT FROM jobs reap
                            WHERE reap.call_id = github_calls.id AND reap.finished_at IS NULL)))
                ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
            ), calls AS (
                DELETE FROM github_calls WHERE job_id IN (SELECT id FROM old) RETURNING 1
            ), configs AS (
                DELETE FROM credentials WHERE job_id IN (SELECT id FROM old) RETURNING 1
            ), gone AS (
                DELETE FROM jobs WHERE id IN (SELECT id FROM old) RETURNING 1
            )
            SELECT (SELECT count(*) FROM calls) + (SELECT count(*) FROM configs) + (SELECT count(*) FROM gone)
                AS "rows!""#,
            seconds(age),
            most / ROWS_OF_A_JOB,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(gone.cast_unsigned())
    }

    /// Removes the trails of runners deleted `age` ago, up to `most` rows. Answers how many went.
    pub async fn trails(&mut self, age: TimeDelta, most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM runner_events WHERE id IN (
                SELECT told.id FROM runners JOIN runner_events told ON told.runner_id = runners.id
                WHERE status = 'deleted' AND deleted_at < now() - make_interval(secs => $1)
                ORDER BY deleted_at LIMIT $2 FOR UPDATE OF told SKIP LOCKED)",
            seconds(age),
            most,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes settled cancellations of workflow runs on runners deleted `age` ago, up to `most`. Answers how many went.
    pub async fn cancellations(&mut self, age: TimeDelta, most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM workflow_cancellations WHERE id IN (
                SELECT asked.id FROM runners JOIN workflow_cancellations asked ON asked.runner_id = runners.id
                WHERE status = 'deleted' AND deleted_at < now() - make_interval(secs => $1)
                    AND asked.state <> 'pending'
                ORDER BY deleted_at LIMIT $2 FOR UPDATE OF asked SKIP LOCKED)",
            seconds(age),
            most,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes runners deleted `age` ago to which nothing refers any more, up to `most`. Answers how many went.
    pub async fn runners(&mut self, age: TimeDelta, most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM runners WHERE id IN (
                SELECT id FROM runners
                WHERE status = 'deleted' AND deleted_at < now() - make_interval(secs => $1)
                    AND NOT EXISTS (SELECT FROM jobs WHERE runner_id = runners.id)
                    AND NOT EXISTS (SELECT FROM runner_events WHERE runner_id = runners.id)
                    AND NOT EXISTS (SELECT FROM workflow_cancellations WHERE runner_id = runners.id)
                ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            seconds(age),
            most,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes audit rows older than `age`, and than the age the owner of the tables allows, up to `most`. Returns how many
    /// went.
    pub async fn audit(&mut self, age: TimeDelta, most: i64) -> Result<u64> {
        let gone = sqlx::query_scalar!(
            r#"SELECT prune_audit_log(make_interval(secs => $1), $2) AS "gone!""#,
            seconds(age),
            most,
        );
        Ok(gone.fetch_one(&mut *self.0).await?.cast_unsigned())
    }

    /// Removes security events older than `age`, and than the age the owner of the tables allows, up to `most`. Returns how
    /// many went.
    pub async fn security_events(&mut self, age: TimeDelta, most: i64) -> Result<u64> {
        let gone = sqlx::query_scalar!(
            r#"SELECT prune_security_events(make_interval(secs => $1), $2) AS "gone!""#,
            seconds(age),
            most,
        );
        Ok(gone.fetch_one(&mut *self.0).await?.cast_unsigned())
    }
}
