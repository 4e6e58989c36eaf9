//! Heartbeats of the worker processes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::Result;

/// Worker queries on one connection.
#[derive(Debug)]
pub struct Workers<'c>(pub(crate) &'c mut PgConnection);

/// One worker as its last heartbeat describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// Name, unique for each start.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Most jobs it runs at once.
    pub concurrency: i32,
    /// Number of jobs it runs.
    pub running: i32,
    /// Time of its start.
    pub started_at: DateTime<Utc>,
    /// Time of its last heartbeat.
    pub heartbeat_at: DateTime<Utc>,
    /// Whether the last heartbeat is less than 30 s old.
    pub alive: bool,
}

impl Workers<'_> {
    /// Writes a worker's heartbeat.
    pub async fn record_heartbeat(
        &mut self,
        name: &str,
        version: &str,
        concurrency: i32,
        running: i32,
    ) -> Result<()> {
        sqlx::query!(
            "INSERT INTO workers (name, version, concurrency, running) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO UPDATE SET running = $4, heartbeat_at = now()",
            name,
            version,
            concurrency,
            running,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
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
            r#"SELECT name, version, concurrency, running, started_at, heartbeat_at,
                heartbeat_at > now() - interval '30 seconds' AS "alive!"
             FROM workers WHERE heartbeat_at > now() - interval '1 hour' ORDER BY name LIMIT 1000"#
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Deletes workers without a heartbeat for an hour. Returns how many.
    pub async fn forget(&mut self) -> Result<u64> {
        let done = sqlx::query!("DELETE FROM workers WHERE heartbeat_at < now() - interval '1 hour'")
            .execute(&mut *self.0)
            .await?;
        Ok(done.rows_affected())
    }
}
