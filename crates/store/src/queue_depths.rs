//! Course of the queue's depth: the largest numbers of each lane in a minute, and of an hour later.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{InstallationId, Lane};
use sqlx::PgConnection;

use crate::{FlowSpan, Result, jobs::seconds};

/// Age at which minutes become hours.
const MINUTES_KEPT: TimeDelta = TimeDelta::hours(48);
/// Age at which hours are removed.
const HOURS_KEPT: TimeDelta = TimeDelta::days(35);
/// Most points of one answer.
const MAX_POINTS: i64 = 20_000;

/// Queries of the depths on one connection.
#[derive(Debug)]
pub struct QueueDepths<'c>(pub(crate) &'c mut PgConnection);

/// Depth of one lane of one installation at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthSample {
    /// The installation.
    pub installation: InstallationId,
    /// The lane.
    pub lane: Lane,
    /// Jobs that may start.
    pub waiting: u64,
    /// Jobs that may not start yet.
    pub delayed: u64,
    /// Jobs that workers hold.
    pub running: u64,
    /// Age of the oldest waiting job, in milliseconds.
    pub oldest_ms: u64,
}

/// Largest depth of one lane of one installation in one step of a course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthPoint {
    /// Begin of the step.
    pub at: DateTime<Utc>,
    /// The installation.
    pub installation: String,
    /// The lane.
    pub lane: String,
    /// Most jobs that might start.
    pub waiting: i64,
    /// Most jobs that might not start yet.
    pub delayed: i64,
    /// Most jobs that workers held.
    pub running: i64,
    /// Largest age of the oldest waiting job, in milliseconds.
    pub oldest_ms: i64,
}

impl QueueDepths<'_> {
    /// Adds samples to this minute, which keeps the largest numbers. Returns the number of samples.
    pub async fn add(&mut self, samples: &[DepthSample]) -> Result<u64> {
        let numbers = |of: fn(&DepthSample) -> u64| -> Vec<i64> {
            samples.iter().map(|sample| i64::try_from(of(sample)).unwrap_or(i64::MAX)).collect()
        };
        let installations: Vec<String> =
            samples.iter().map(|sample| sample.installation.to_string()).collect();
        let lanes: Vec<String> = samples.iter().map(|sample| sample.lane.to_string()).collect();
        let written = sqlx::query!(
            "INSERT INTO queue_depths AS d (span, at, installation, lane, waiting, delayed, running, oldest_ms)
             SELECT 'minute', date_trunc('minute', now()), s.*
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS s
             ON CONFLICT (span, at, installation, lane) DO UPDATE SET
                waiting = greatest(d.waiting, excluded.waiting), delayed = greatest(d.delayed, excluded.delayed),
                running = greatest(d.running, excluded.running),
                oldest_ms = greatest(d.oldest_ms, excluded.oldest_ms)",
            &installations,
            &lanes,
            &numbers(|sample| sample.waiting),
            &numbers(|sample| sample.delayed),
            &numbers(|sample| sample.running),
            &numbers(|sample| sample.oldest_ms),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(written.rows_affected())
    }

    /// Returns the course of every lane in a span, in steps of `step` seconds, by installation, lane and time.
    pub async fn points(&mut self, span: FlowSpan, step: i64) -> Result<Vec<DepthPoint>> {
        Ok(sqlx::query_as!(
            DepthPoint,
            r#"SELECT to_timestamp(floor(extract(epoch FROM at) / $3) * $3) AS "at!", installation, lane,
                max(waiting) AS "waiting!", max(delayed) AS "delayed!", max(running) AS "running!",
                max(oldest_ms) AS "oldest_ms!"
             FROM queue_depths WHERE span IN ('minute', 'hour') AND at >= $1 AND at < $2
             GROUP BY 1, 2, 3 ORDER BY 2, 3, 1 LIMIT $4"#,
            span.since,
            span.until,
            step as _,
            MAX_POINTS,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Turns at most `most` rows of minutes that are older than 48 h into hours. Returns how many.
    pub async fn roll_up(&mut self, most: i64) -> Result<u64> {
        let rows = sqlx::query_scalar!(
            r#"WITH old AS (
                DELETE FROM queue_depths WHERE (span, at, installation, lane) IN (
                    SELECT span, at, installation, lane FROM queue_depths
                    WHERE span = 'minute' AND at < date_trunc('hour', now() - make_interval(secs => $1))
                    ORDER BY at LIMIT $2)
                RETURNING at, installation, lane, waiting, delayed, running, oldest_ms
            ), added AS (
                INSERT INTO queue_depths AS d (span, at, installation, lane, waiting, delayed, running, oldest_ms)
                SELECT 'hour', date_trunc('hour', at), installation, lane, max(waiting), max(delayed), max(running),
                    max(oldest_ms)
                FROM old GROUP BY 2, 3, 4
                ON CONFLICT (span, at, installation, lane) DO UPDATE SET
                    waiting = greatest(d.waiting, excluded.waiting), delayed = greatest(d.delayed, excluded.delayed),
                    running = greatest(d.running, excluded.running),
                    oldest_ms = greatest(d.oldest_ms, excluded.oldest_ms)
            )
            SELECT count(*) AS "rows!" FROM old"#,
            seconds(MINUTES_KEPT),
            most,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(rows.unsigned_abs())
    }

    /// Removes hours that are older than 35 days, at most `most` rows. Returns how many.
    pub async fn prune(&mut self, most: i64) -> Result<u64> {
        let removed = sqlx::query!(
            "DELETE FROM queue_depths WHERE (span, at, installation, lane) IN (
                SELECT span, at, installation, lane FROM queue_depths
                WHERE span = 'hour' AND at < now() - make_interval(secs => $1) ORDER BY at LIMIT $2)",
            seconds(HOURS_KEPT),
            most,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(removed.rows_affected())
    }
}
