//! Heartbeats of the worker processes, and the jobs they run.

use chrono::{DateTime, Utc};
use domain::JobId;
use sqlx::PgConnection;

use crate::Result;

/// Most current jobs in one list.
const MAX_CURRENT_JOBS: i64 = 1000;

/// Worker queries on one connection.
#[derive(Debug)]
pub struct Workers<'c>(pub(crate) &'c mut PgConnection);

/// A worker's heartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat<'a> {
    /// Name, unique for each start.
    pub name: &'a str,
    /// Version of the program.
    pub version: &'a str,
    /// Name of the machine.
    pub host: Option<&'a str>,
    /// Most jobs it runs at once.
    pub concurrency: i32,
    /// Number of jobs it runs.
    pub running: i32,
    /// Lanes it takes jobs of.
    pub lanes: &'a [String],
    /// Installations it has a credential for.
    pub installations: &'a [String],
}

/// One worker as its last heartbeat describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// Name, unique for each start.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Name of the machine.
    pub host: Option<String>,
    /// Most jobs it runs at once.
    pub concurrency: i32,
    /// Number of jobs it runs.
    pub running: i32,
    /// Lanes it takes jobs of; `None` if its version does not say.
    pub lanes: Option<Vec<String>>,
    /// Installations it has a credential for; `None` if its version does not say.
    pub installations: Option<Vec<String>>,
    /// Time at which an admin asked it to take no more jobs.
    pub drain_requested_at: Option<DateTime<Utc>>,
    /// Identity of that admin.
    pub drain_requested_by: Option<String>,
    /// Reason that admin gave.
    pub drain_reason: Option<String>,
    /// Time of its start.
    pub started_at: DateTime<Utc>,
    /// Time of its last heartbeat.
    pub heartbeat_at: DateTime<Utc>,
    /// Whether the last heartbeat is less than 30 s old.
    pub alive: bool,
}

/// A job that a worker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentJob {
    /// Name of the worker.
    pub worker: String,
    /// The job.
    pub job: JobId,
    /// Kind of the job, as text: a newer version may have written it.
    pub kind: String,
    /// Time since which its row says so.
    pub since: DateTime<Utc>,
}

impl Workers<'_> {
    /// Writes a worker's heartbeat. Returns whether an admin asked it to take no more jobs.
    pub async fn record_heartbeat(&mut self, beat: &Heartbeat<'_>) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"INSERT INTO workers (name, version, concurrency, running, host, lanes, installations)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (name) DO UPDATE SET running = $4, heartbeat_at = now()
             RETURNING drain_requested_at IS NOT NULL AS "drain!""#,
            beat.name,
            beat.version,
            beat.concurrency,
            beat.running,
            beat.host,
            beat.lanes,
            beat.installations,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Asks a worker that is alive to take no more jobs. The first request stays. Returns `false` if there is no such
    /// worker.
    pub async fn request_drain(&mut self, name: &str, by: &str, reason: Option<&str>) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE workers SET drain_requested_at = coalesce(drain_requested_at, now()),
                drain_requested_by = CASE WHEN drain_requested_at IS NULL THEN $2 ELSE drain_requested_by END,
                drain_reason = CASE WHEN drain_requested_at IS NULL THEN $3 ELSE drain_reason END
             WHERE name = $1 AND heartbeat_at > now() - interval '30 seconds'",
            name,
            by,
            reason,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes a worker that stops.
    pub async fn remove(&mut self, name: &str) -> Result<()> {
        sqlx::query!("DELETE FROM workers WHERE name = $1", name).execute(&mut *self.0).await?;
        Ok(())
    }

    /// Returns up to 1,000 workers with a heartbeat in the last hour, by name.
    pub async fn list(&mut self) -> Result<Vec<WorkerRow>> {
        Ok(sqlx::query_as!(
            WorkerRow,
            r#"SELECT name, version, host, concurrency, running, lanes, installations, drain_requested_at,
                drain_requested_by, drain_reason, started_at, heartbeat_at,
                heartbeat_at > now() - interval '30 seconds' AS "alive!"
             FROM workers WHERE heartbeat_at > now() - interval '1 hour' ORDER BY name LIMIT 1000"#
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns the jobs that workers run according to their rows, at most 1,000, by worker. A job whose worker has died
    /// is among them until its next start.
    pub async fn current_jobs(&mut self) -> Result<Vec<CurrentJob>> {
        let rows = sqlx::query!(
            r#"SELECT started_by AS "worker!", id, kind, updated_at FROM jobs
             WHERE state = 'running' AND started_by IS NOT NULL ORDER BY started_by, id LIMIT $1"#,
            MAX_CURRENT_JOBS
        )
        .fetch_all(&mut *self.0)
        .await?;
        let current = rows.into_iter().map(|row| CurrentJob {
            worker: row.worker,
            job: row.id.into(),
            kind: row.kind,
            since: row.updated_at,
        });
        Ok(current.collect())
    }

    /// Deletes workers without a heartbeat for an hour. Returns how many.
    pub async fn forget(&mut self) -> Result<u64> {
        let done = sqlx::query!("DELETE FROM workers WHERE heartbeat_at < now() - interval '1 hour'")
            .execute(&mut *self.0)
            .await?;
        Ok(done.rows_affected())
    }
}
