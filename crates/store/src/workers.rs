//! Who works.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::Result;

/// The workers, on one connection.
#[derive(Debug)]
pub struct Workers<'c>(pub(crate) &'c mut PgConnection);

/// One worker as it said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// Its name, unique per start.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Jobs it may run at once.
    pub concurrency: i32,
    /// Jobs it runs.
    pub running: i32,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it last said so.
    pub heartbeat_at: DateTime<Utc>,
    /// Whether that was within the last 30 s.
    pub alive: bool,
}

impl Workers<'_> {
    /// A worker says that it is there.
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

    /// A worker leaves.
    pub async fn remove(&mut self, name: &str) -> Result<()> {
        sqlx::query!("DELETE FROM workers WHERE name = $1", name).execute(&mut *self.0).await?;
        Ok(())
    }

    /// Up to 1,000 workers heard of in the last hour, by name.
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

    /// Forgets workers not heard of for an hour. Answers how many.
    pub async fn forget(&mut self) -> Result<u64> {
        let done = sqlx::query!("DELETE FROM workers WHERE heartbeat_at < now() - interval '1 hour'")
            .execute(&mut *self.0)
            .await?;
        Ok(done.rows_affected())
    }
}
