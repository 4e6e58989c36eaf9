//! Requests of an idle worker to the stores.

use std::time::Duration;

use anyhow::Context;
use redis::{Client, aio::MultiplexedConnection};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    environment::{Deployment, Environment},
    report::{Report, Row, Target},
    scale::Scale,
};

/// Time until the worker is idle, and until PostgreSQL's processes have reported their counters.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    // A deployment of its own: autovacuum of tables that were just filled would count.
    let deployment = environment.deployment("idle", 5)?;
    deployment.start_api().await?.stop().await?;
    let mut worker = deployment.start_worker()?;
    worker.wait_for("working").await?;
    measure_stores(&deployment, scale, report).await?;
    worker.stop().await
}

async fn measure_stores(
    deployment: &Deployment<'_>,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    sleep(SETTLE).await;
    let Load { commands, transactions, .. } = load(deployment, Duration::from_secs(scale.idle)).await?;
    let row = Row::new("Redis commands of an idle worker", "/s", &[commands]);
    report.push(row.target(Target::AtMost(5.0)));
    let row = Row::new("PostgreSQL transactions of an idle worker", "/s", &[transactions]);
    report.push(row.target(Target::AtMost(1.0)));
    Ok(())
}

/// What all processes of a deployment used of the stores in one second.
pub(crate) struct Load {
    /// Commands of Redis.
    pub(crate) commands: f64,
    /// Transactions of PostgreSQL.
    pub(crate) transactions: f64,
    /// Length of the measurement in seconds.
    pub(crate) seconds: f64,
}

/// Counts what a deployment uses of the stores for this time.
pub(crate) async fn load(deployment: &Deployment<'_>, time: Duration) -> anyhow::Result<Load> {
    let mut redis = Client::open(deployment.redis_url())?.get_multiplexed_async_connection().await?;
    // Another database of the server, so that these queries do not count.
    let mut postgres = PgConnection::connect(&deployment.environment().database_url("postgres")).await?;
    let start = Instant::now();
    let commands_before = redis_commands(&mut redis).await?;
    let transactions_before = transactions(&mut postgres, &deployment.database).await?;
    sleep(time).await;
    // The second count includes the first one.
    let commands = redis_commands(&mut redis).await? - commands_before - 1.0;
    let transactions = transactions(&mut postgres, &deployment.database).await? - transactions_before;
    let seconds = start.elapsed().as_secs_f64();
    postgres.close().await?;
    Ok(Load { commands: commands.max(0.0) / seconds, transactions: transactions.max(0.0) / seconds, seconds })
}

/// Returns how many commands Redis has counted, of all clients.
async fn redis_commands(redis: &mut MultiplexedConnection) -> anyhow::Result<f64> {
    let stats: String = redis::cmd("INFO").arg("stats").query_async(redis).await?;
    let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.and_then(|number| number.trim().parse().ok()).context("Redis does not count its commands")
}

/// Returns how many transactions PostgreSQL has counted in a database.
pub(crate) async fn transactions(postgres: &mut PgConnection, database: &str) -> anyhow::Result<f64> {
    let count = sqlx::query_scalar::<_, f64>(
        "SELECT (xact_commit + xact_rollback)::float8 FROM pg_stat_database WHERE datname = $1",
    );
    Ok(count.bind(database).fetch_one(postgres).await?)
}
