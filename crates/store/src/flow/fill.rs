//! Filling of the flow: each closed minute once, minutes older than 48 h added up to hours, old hours removed.
//!
//! A job that was accepted, started or ended in a minute is either still open or ended after that minute began. Two
//! partial indexes find exactly these, so nothing has to be counted while jobs are accepted and run.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{FLOW_BOUNDS_MS, FLOW_BUCKETS};

use super::Flow;
use crate::{Result, jobs::seconds};

/// Longest time that is filled after all schedulers were away; earlier minutes stay empty.
const MAX_CATCH_UP: TimeDelta = TimeDelta::hours(6);
/// Age at which minutes become hours.
const MINUTES_KEPT: TimeDelta = TimeDelta::hours(48);
/// Age at which hours are removed.
const HOURS_KEPT: TimeDelta = TimeDelta::days(400);

impl Flow<'_> {
    /// Fills the minutes that are closed and not filled yet. A minute is closed once every transaction that began in it
    /// has ended, five minutes later at the latest: a row gets the time at which its transaction began. Needs a transaction; of several processes one
    /// fills at a time. Returns the number of minutes.
    pub async fn fill(&mut self) -> Result<u64> {
        let progress = sqlx::query!(
            r#"SELECT closed_until, date_trunc('minute', least(now() - interval '2 seconds', greatest(
                now() - interval '5 minutes',
                coalesce((SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database()
                    AND backend_type = 'client backend' AND pid <> pg_backend_pid()), now())
                ))) AS "until!"
             FROM flow_progress FOR UPDATE"#
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(progress) = progress else { return Ok(0) };
        let until = progress.until;
        let since = progress.closed_until.max(until.checked_sub_signed(MAX_CATCH_UP).unwrap_or(until));
        if until <= since {
            return Ok(0);
        }
        self.remove(since, until).await?;
        self.count_jobs(since, until).await?;
        self.count_teams(since, until).await?;
        sqlx::query!("UPDATE flow_progress SET closed_until = $1", until).execute(&mut *self.0).await?;
        Ok((until - since).num_minutes().unsigned_abs())
    }

    /// Removes what an earlier filling of these minutes left.
    async fn remove(&mut self, since: DateTime<Utc>, until: DateTime<Utc>) -> Result<()> {
        sqlx::query!("DELETE FROM flow WHERE span = 'minute' AND at >= $1 AND at < $2", since, until)
            .execute(&mut *self.0)
            .await?;
        sqlx::query!("DELETE FROM flow_teams WHERE span = 'minute' AND at >= $1 AND at < $2", since, until)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn count_jobs(&mut self, since: DateTime<Utc>, until: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "WITH recent AS (
                SELECT installation, kind, state, created_at, started_at, run_started_at, finished_at
                FROM jobs WHERE finished_at IS NULL
                UNION ALL
                SELECT installation, kind, state, created_at, started_at, run_started_at, finished_at
                FROM jobs WHERE finished_at >= $1
            ), facts AS (
                SELECT date_trunc('minute', created_at) AS at, installation, kind, 'accepted' AS what,
                    NULL::integer AS wait, NULL::integer AS run
                FROM recent WHERE created_at >= $1 AND created_at < $2
                UNION ALL
                SELECT date_trunc('minute', started_at), installation, kind, 'started',
                    width_bucket((extract(epoch FROM started_at - created_at) * 1000)::bigint, $3::bigint[]), NULL
                FROM recent WHERE started_at >= $1 AND started_at < $2
                UNION ALL
                SELECT date_trunc('minute', finished_at), installation, kind, state, NULL,
                    CASE WHEN state IN ('succeeded', 'failed') THEN
                        width_bucket((extract(epoch FROM finished_at - run_started_at) * 1000)::bigint, $3::bigint[]) END
                FROM recent WHERE finished_at >= $1 AND finished_at < $2
            )
            INSERT INTO flow (span, at, installation, kind, accepted, started, succeeded, failed, expired, cancelled,
                wait, run)
            SELECT 'minute', at, installation, kind,
                count(*) FILTER (WHERE what = 'accepted'), count(*) FILTER (WHERE what = 'started'),
                count(*) FILTER (WHERE what = 'succeeded'), count(*) FILTER (WHERE what = 'failed'),
                count(*) FILTER (WHERE what = 'expired'), count(*) FILTER (WHERE what = 'cancelled'),
                flow_histogram(array_agg(wait) FILTER (WHERE wait IS NOT NULL), $4),
                flow_histogram(array_agg(run) FILTER (WHERE run IS NOT NULL), $4)
            FROM facts GROUP BY at, installation, kind",
            since,
            until,
            &FLOW_BOUNDS_MS[..],
            i32::try_from(FLOW_BUCKETS).unwrap_or(i32::MAX),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn count_teams(&mut self, since: DateTime<Utc>, until: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "WITH recent AS (
                SELECT team_id, state, created_at, started_at, finished_at
                FROM jobs WHERE finished_at IS NULL AND team_id IS NOT NULL
                UNION ALL
                SELECT team_id, state, created_at, started_at, finished_at
                FROM jobs WHERE finished_at >= $1 AND team_id IS NOT NULL
            ), facts AS (
                SELECT date_trunc('minute', created_at) AS at, team_id, 'accepted' AS what
                FROM recent WHERE created_at >= $1 AND created_at < $2
                UNION ALL
                SELECT date_trunc('minute', started_at), team_id, 'started'
                FROM recent WHERE started_at >= $1 AND started_at < $2
                UNION ALL
                SELECT date_trunc('minute', finished_at), team_id, state
                FROM recent WHERE finished_at >= $1 AND finished_at < $2
            ), counted AS (
                SELECT at, team_id,
                    count(*) FILTER (WHERE what = 'accepted') AS accepted,
                    count(*) FILTER (WHERE what = 'started') AS started,
                    count(*) FILTER (WHERE what = 'succeeded') AS succeeded,
                    count(*) FILTER (WHERE what = 'failed') AS failed,
                    count(*) FILTER (WHERE what = 'expired') AS expired,
                    count(*) FILTER (WHERE what = 'cancelled') AS cancelled,
                    row_number() OVER (PARTITION BY at ORDER BY count(*) DESC, team_id) AS place
                FROM facts GROUP BY at, team_id
            )
            INSERT INTO flow_teams (span, at, team_id, accepted, started, succeeded, failed, expired, cancelled)
            SELECT 'minute', at, team_id, accepted, started, succeeded, failed, expired, cancelled
            FROM counted WHERE place <= 50",
            since,
            until,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Adds up whole hours of minutes that are older than 48 h, at most one day of them. Returns the number of rows of
    /// minutes that it replaced.
    pub async fn roll_up(&mut self) -> Result<u64> {
        let jobs = sqlx::query_scalar!(
            r#"WITH hours AS (
                SELECT min(at) AS since, least(min(at) + interval '1 day',
                    date_trunc('hour', now() - make_interval(secs => $1))) AS until
                FROM flow WHERE span = 'minute' AND at < date_trunc('hour', now() - make_interval(secs => $1))
            ), old AS (
                DELETE FROM flow USING hours WHERE span = 'minute' AND at >= hours.since
                    AND at < date_trunc('hour', hours.until) RETURNING flow.*
            ), counts AS (
                SELECT date_trunc('hour', at) AS at, installation, kind, sum(accepted) AS accepted,
                    sum(started) AS started, sum(succeeded) AS succeeded, sum(failed) AS failed,
                    sum(expired) AS expired, sum(cancelled) AS cancelled
                FROM old GROUP BY 1, 2, 3
            ), buckets AS (
                SELECT date_trunc('hour', at) AS at, installation, kind, n, sum(w)::bigint AS w, sum(r)::bigint AS r
                FROM old, unnest(wait, run) WITH ORDINALITY AS u (w, r, n) GROUP BY 1, 2, 3, 4
            ), histograms AS (
                SELECT at, installation, kind, array_agg(w ORDER BY n) AS wait, array_agg(r ORDER BY n) AS run
                FROM buckets GROUP BY 1, 2, 3
            ), added AS (
                INSERT INTO flow (span, at, installation, kind, accepted, started, succeeded, failed, expired,
                    cancelled, wait, run)
                SELECT 'hour', at, installation, kind, accepted, started, succeeded, failed, expired, cancelled, wait, run
                FROM counts JOIN histograms USING (at, installation, kind)
                ON CONFLICT DO NOTHING
            )
            SELECT count(*) AS "rows!" FROM old"#,
            seconds(MINUTES_KEPT),
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(jobs.unsigned_abs() + self.roll_up_teams().await?)
    }

    async fn roll_up_teams(&mut self) -> Result<u64> {
        let teams = sqlx::query_scalar!(
            r#"WITH hours AS (
                SELECT min(at) AS since, least(min(at) + interval '1 day',
                    date_trunc('hour', now() - make_interval(secs => $1))) AS until
                FROM flow_teams WHERE span = 'minute' AND at < date_trunc('hour', now() - make_interval(secs => $1))
            ), old AS (
                DELETE FROM flow_teams USING hours WHERE span = 'minute' AND at >= hours.since
                    AND at < date_trunc('hour', hours.until) RETURNING flow_teams.*
            ), added AS (
                INSERT INTO flow_teams (span, at, team_id, accepted, started, succeeded, failed, expired, cancelled)
                SELECT 'hour', date_trunc('hour', at), team_id, sum(accepted), sum(started), sum(succeeded), sum(failed),
                    sum(expired), sum(cancelled)
                FROM old GROUP BY 2, 3
                ON CONFLICT DO NOTHING
            )
            SELECT count(*) AS "rows!" FROM old"#,
            seconds(MINUTES_KEPT),
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(teams.unsigned_abs())
    }

    /// Removes hours that are older than 400 days, at most `most` rows of each table. Returns how many.
    pub async fn prune(&mut self, most: i64) -> Result<u64> {
        let jobs = sqlx::query!(
            "DELETE FROM flow WHERE (span, at, installation, kind) IN (SELECT span, at, installation, kind FROM flow
                WHERE span = 'hour' AND at < now() - make_interval(secs => $1) ORDER BY at LIMIT $2)",
            seconds(HOURS_KEPT),
            most,
        )
        .execute(&mut *self.0)
        .await?;
        let teams = sqlx::query!(
            "DELETE FROM flow_teams WHERE (span, at, team_id) IN (SELECT span, at, team_id FROM flow_teams
                WHERE span = 'hour' AND at < now() - make_interval(secs => $1) ORDER BY at LIMIT $2)",
            seconds(HOURS_KEPT),
            most,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(jobs.rows_affected() + teams.rows_affected())
    }
}
