//! Counts for metrics: runners by status, unmanaged runners, sealed configs and waiting webhooks.

use std::time::Duration;

use sqlx::PgConnection;

use crate::Result;

/// Most rows of one count by installation.
const MAX_ROWS: i64 = 4_000;
/// Most configs that are counted.
const MAX_CONFIGS: i64 = 100_000;

/// Fleet queries on one connection.
#[derive(Debug)]
pub struct Fleet<'c>(pub(crate) &'c mut PgConnection);

/// Counts of the whole service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetCounts {
    /// Runners that are not deleted, by installation and status.
    pub runners: Vec<RunnerCount>,
    /// Unmanaged runners, by installation.
    pub unmanaged: Vec<UnmanagedCount>,
    /// Configs that are sealed and not shredded, at most 100,000.
    pub sealed_configs: u64,
    /// Age of the oldest webhook delivery that is due; zero if none is.
    pub webhook_lag: Duration,
}

/// Runners of one installation with one status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerCount {
    /// Name of the installation.
    pub installation: String,
    /// The status, as text: a newer version may have written it.
    pub status: String,
    /// Number of runners.
    pub runners: u64,
}

/// Unmanaged runners of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmanagedCount {
    /// Name of the installation.
    pub installation: String,
    /// Number of runners.
    pub runners: u64,
}

impl Fleet<'_> {
    /// Counts everything, in three statements. None reads a deleted runner or a shredded config.
    pub async fn read(&mut self) -> Result<FleetCounts> {
        let runners = sqlx::query!(
            r#"SELECT installation, status, count(*) AS "runners!" FROM runners WHERE status <> 'deleted'
             GROUP BY installation, status ORDER BY installation, status LIMIT $1"#,
            MAX_ROWS,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let unmanaged = sqlx::query!(
            r#"SELECT installation, count(*) AS "runners!" FROM unmanaged_runners
             GROUP BY installation ORDER BY installation LIMIT $1"#,
            MAX_ROWS,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let other = sqlx::query!(
            r#"SELECT
                (SELECT count(*) FROM (SELECT FROM credentials WHERE shredded_at IS NULL LIMIT $1) c) AS "sealed!",
                (SELECT greatest(extract(epoch FROM clock_timestamp() - received_at), 0)::float8 FROM webhook_inbox
                    WHERE state = 'pending' AND next_at <= now() ORDER BY next_at LIMIT 1) AS lag"#,
            MAX_CONFIGS,
        )
        .fetch_one(&mut *self.0)
        .await?;
        let runners = runners.into_iter().map(|row| RunnerCount {
            installation: row.installation,
            status: row.status,
            runners: row.runners.unsigned_abs(),
        });
        let unmanaged = unmanaged.into_iter().map(|row| UnmanagedCount {
            installation: row.installation,
            runners: row.runners.unsigned_abs(),
        });
        Ok(FleetCounts {
            runners: runners.collect(),
            unmanaged: unmanaged.collect(),
            sealed_configs: other.sealed.unsigned_abs(),
            webhook_lag: other.lag.and_then(|lag| Duration::try_from_secs_f64(lag).ok()).unwrap_or_default(),
        })
    }
}
