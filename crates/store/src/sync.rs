//! Sync runs: when each installation is due, how its last run ended, and the approval of held removals.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{InstallationId, REMOVAL_APPROVAL_TTL};
use serde_json::Value;
use sqlx::PgConnection;

use crate::{Result, jobs::seconds};

/// Sync run queries on one connection.
#[derive(Debug)]
pub struct SyncRuns<'c>(pub(crate) &'c mut PgConnection);

/// A sync run whose results are being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncStart {
    /// Time of its start, by the database's clock.
    pub began: DateTime<Utc>,
    /// Number of removals an admin approved, if the approval has not expired.
    pub allowed: Option<usize>,
    /// Number of removals the previous run held.
    pub held: i32,
}

/// The end of a sync run.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncEnd {
    /// `ok`, `held`, `incomplete`, `paused` or `failed`.
    pub result: &'static str,
    /// Reason of a failure.
    pub error: Option<String>,
    /// Counts of the run, as JSON.
    pub counts: Value,
    /// Number of removals held for an admin's approval.
    pub held: i32,
    /// Whether an approval is used up: all removals were made, or more were found than it covers.
    pub approval_used: bool,
}

/// The sync state of one installation.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncRow {
    /// Name of the installation.
    pub installation: String,
    /// Seconds between two runs.
    pub interval_seconds: Option<i32>,
    /// Whether an admin requested a run that has not begun yet.
    pub triggered: bool,
    /// End of the last run of any kind.
    pub last_sync_time: Option<DateTime<Utc>>,
    /// End of the last complete run.
    pub last_complete_sync_time: Option<DateTime<Utc>>,
    /// Result of the last run.
    pub last_sync_result: Option<String>,
    /// Reason of its failure.
    pub last_sync_error: Option<String>,
    /// Counts of the last run.
    pub counts: Option<Value>,
    /// Number of removals held for an admin's approval.
    pub removals_held: i32,
    /// Whether an approval exists that has not expired.
    pub removals_confirmed: bool,
}

/// An installation with a requested run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggeredRow {
    /// Name of the installation.
    pub installation: String,
    /// Whether the held removals are approved.
    pub confirmed: bool,
}

impl SyncRuns<'_> {
    /// Returns whether a run is due: the interval is over, an admin requested one, or the last one failed a minute ago
    /// without reading a page. A run that has read pages costs as much as a complete one, so the interval applies after
    /// it.
    pub async fn is_due(&mut self, installation: &InstallationId, interval: TimeDelta) -> Result<bool> {
        let due = sqlx::query_scalar!(
            r#"SELECT coalesce(attempted_at IS NULL OR coalesce(triggered_at > attempted_at, false)
                OR attempted_at + make_interval(secs => CASE
                    WHEN last_sync_result IN ('ok', 'held', 'incomplete')
                        OR coalesce((counts ->> 'requests')::int, 0) > 0 THEN $2::float8
                    ELSE least($2::float8, 60) END) <= now(), true) AS "due!"
             FROM sync_status WHERE installation = $1"#,
            installation.as_str(),
            seconds(interval),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(due.unwrap_or(true))
    }

    /// Records the start of a run. Returns its time, by the database's clock.
    pub async fn begin(
        &mut self,
        installation: &InstallationId,
        interval: TimeDelta,
    ) -> Result<DateTime<Utc>> {
        let interval = i32::try_from(interval.num_seconds()).unwrap_or(i32::MAX);
        Ok(sqlx::query_scalar!(
            r#"INSERT INTO sync_status (installation, interval_seconds, attempted_at)
             VALUES ($1, $2, clock_timestamp())
             ON CONFLICT (installation) DO UPDATE SET interval_seconds = $2, attempted_at = clock_timestamp()
             RETURNING attempted_at AS "attempted_at!""#,
            installation.as_str(),
            interval,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Locks the installation's sync state until the end of the transaction. Returns `None` if a newer run has begun,
    /// or another ended after this one began: this run's observations are then outdated.
    pub async fn lock(
        &mut self,
        installation: &InstallationId,
        began: DateTime<Utc>,
    ) -> Result<Option<SyncStart>> {
        let row = sqlx::query!(
            r#"SELECT attempted_at = $2 AND coalesce(last_sync_time < $2, true) AS "newest!", removals_held,
                CASE WHEN removals_allowed_at > now() - make_interval(secs => $3) THEN removals_allowed END AS allowed
             FROM sync_status WHERE installation = $1 FOR UPDATE"#,
            installation.as_str(),
            began,
            seconds(REMOVAL_APPROVAL_TTL),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(row.filter(|row| row.newest).map(|row| SyncStart {
            began,
            allowed: row.allowed.and_then(|allowed| usize::try_from(allowed).ok()),
            held: row.removals_held,
        }))
    }

    /// Records the end of a run.
    pub async fn end(&mut self, installation: &InstallationId, end: &SyncEnd) -> Result<()> {
        let complete = matches!(end.result, "ok" | "held");
        sqlx::query!(
            "UPDATE sync_status SET last_sync_result = $2, last_sync_error = $3, counts = $4,
                last_run_time = now(), last_sync_time = CASE WHEN $5 THEN now() ELSE last_sync_time END,
                removals_held = CASE WHEN $5 OR $6 > 0 THEN $6 ELSE removals_held END,
                removals_allowed_at = CASE WHEN NOT $7 THEN removals_allowed_at END
             WHERE installation = $1",
            installation.as_str(),
            end.result,
            end.error,
            end.counts,
            complete,
            end.held,
            end.approval_used,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns the lower-case names of runners that GitHub may be making or may have made, because a call has no final
    /// outcome.
    pub async fn unresolved_names(&mut self, installation: &InstallationId) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar!(
            r#"SELECT lower(runner_name) AS "name!" FROM github_calls
             WHERE installation = $1 AND state IN ('intent', 'effect_suspected')
             UNION SELECT lower(name) FROM runners WHERE installation = $1 AND status = 'requested'"#,
            installation.as_str()
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns the sync state of all installations, by name. An installation without any run has no row.
    pub async fn statuses(&mut self) -> Result<Vec<SyncRow>> {
        Ok(sqlx::query_as!(
            SyncRow,
            r#"SELECT installation, interval_seconds,
                coalesce(triggered_at > attempted_at, triggered_at IS NOT NULL) AS "triggered!",
                greatest(last_run_time, last_sync_time) AS last_sync_time,
                last_sync_time AS last_complete_sync_time, last_sync_result, last_sync_error, counts, removals_held,
                coalesce(removals_allowed_at > now() - make_interval(secs => $1), false) AS "removals_confirmed!"
             FROM sync_status ORDER BY installation <> 'default', installation LIMIT 1000"#,
            seconds(REMOVAL_APPROVAL_TTL),
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Requests a run for the installation, unless one was requested within 30 s: webhook events that cause it may be
    /// frequent.
    pub async fn request_soon(&mut self, installation: &InstallationId) -> Result<()> {
        sqlx::query!(
            "INSERT INTO sync_status (installation, triggered_at) VALUES ($1, clock_timestamp())
             ON CONFLICT (installation) DO UPDATE SET triggered_at = clock_timestamp()
             WHERE sync_status.triggered_at IS NULL
                OR sync_status.triggered_at < clock_timestamp() - interval '30 seconds'",
            installation.as_str()
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Requests a run for one installation or all. With `confirm`, it also approves the number of removals that the
    /// last run held. Returns the installations.
    pub async fn trigger(
        &mut self,
        installation: Option<&InstallationId>,
        confirm: bool,
    ) -> Result<Vec<TriggeredRow>> {
        Ok(sqlx::query_as!(
            TriggeredRow,
            r#"INSERT INTO sync_status AS was (installation, triggered_at)
             SELECT id, clock_timestamp() FROM installations
             WHERE ($2::text IS NULL OR id = $2) AND pool IS NULL
             ON CONFLICT (installation) DO UPDATE SET triggered_at = clock_timestamp(),
                removals_allowed = CASE WHEN $1 AND was.removals_held > 0 THEN was.removals_held
                    ELSE was.removals_allowed END,
                removals_allowed_at = CASE WHEN $1 AND was.removals_held > 0 THEN now()
                    ELSE was.removals_allowed_at END
             RETURNING installation, $1 AND removals_held > 0 AS "confirmed!""#,
            confirm,
            installation.map(InstallationId::as_str),
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}
