//! Requests of an idle worker to the stores.

use std::time::Duration;

use anyhow::Context;
use redis::{Client, aio::MultiplexedConnection};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::{
    Scale,
    report::{Report, Row, Target},
    world::{Site, World},
};

/// Time until the worker is idle, and until PostgreSQL's processes have reported their counters.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    // A site of its own: tables that were just filled would be vacuumed meanwhile, and that counts.
    let site = world.site("idle", 5)?;
    site.api().await?.stop().await?;
    let mut worker = site.worker()?;
    worker.wait_for("working").await?;
    watch(&site, scale, report).await?;
    worker.stop().await
}

async fn watch(site: &Site<'_>, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let mut redis = Client::open(site.redis_url())?.get_multiplexed_async_connection().await?;
    // Another database of the server, so that asking does not count.
    let mut postgres = PgConnection::connect(&site.world().database_url("postgres")).await?;
    sleep(SETTLE).await;
    let begun = Instant::now();
    let before = (commands(&mut redis).await?, transactions(&mut postgres, &site.database).await?);
    sleep(Duration::from_secs(scale.idle)).await;
    // The first count has itself been counted by the second.
    let asked = commands(&mut redis).await? - before.0 - 1.0;
    let done = transactions(&mut postgres, &site.database).await? - before.1;
    let seconds = begun.elapsed().as_secs_f64();
    let redis = Row::new("Redis commands of an idle worker", "/s", &[asked.max(0.0) / seconds]);
    report.push(redis.target(Target::AtMost(5.0)));
    let postgres_row =
        Row::new("PostgreSQL transactions of an idle worker", "/s", &[done.max(0.0) / seconds]);
    report.push(postgres_row.target(Target::AtMost(1.0)));
    postgres.close().await?;
    Ok(())
}

async fn commands(redis: &mut MultiplexedConnection) -> anyhow::Result<f64> {
    let stats: String = redis::cmd("INFO").arg("stats").query_async(redis).await?;
    let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.and_then(|number| number.trim().parse().ok()).context("Redis does not count its commands")
}

pub(super) async fn transactions(postgres: &mut PgConnection, database: &str) -> anyhow::Result<f64> {
    let counted = sqlx::query_scalar::<_, f64>(
        "SELECT (xact_commit + xact_rollback)::float8 FROM pg_stat_database WHERE datname = $1",
    );
    Ok(counted.bind(database).fetch_one(postgres).await?)
}
