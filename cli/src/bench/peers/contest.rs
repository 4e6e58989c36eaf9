//! Measurements of one contender, the same for each.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use redis::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Ask, DATABASE, Deed,
    process::Contender,
    table::{Rates, Recovery},
};
use crate::bench::{Scale, report::quantile, world::World};

/// For one process to say what it must, its own bound aside.
const PATIENCE: Duration = Duration::from_mins(1);
/// Seconds of work at most; some do two jobs a second.
const WORK: f64 = 10.0;
/// Seconds of single jobs at most.
const SINGLES: f64 = 30.0;
/// Jobs held by the worker that is killed.
const HELD: u32 = 10;
/// How long its jobs are waited for.
pub(super) const BOUND: Duration = Duration::from_mins(3);

/// How fast it takes, does and picks up.
pub(super) async fn rates(world: &World, contender: &Contender, scale: Scale) -> anyhow::Result<Rates> {
    let jobs = u32::try_from(scale.jobs / 2)?;
    let ask = Ask { jobs, ..Ask::new(world.redis_url(DATABASE), contender) };
    let mut rates = Rates::default();
    for _ in 0..scale.repetitions {
        for (width, kept) in [(1, &mut rates.one), (16, &mut rates.sixteen)] {
            empty(&ask.redis).await?;
            let added = once(world.dir(), contender, &Ask { r#do: Deed::Enqueue, ..ask.clone() }).await?;
            rates.enqueue.push(rate(&added)?);
            let work = Ask { r#do: Deed::Work, width, bound: WORK, ..ask.clone() };
            kept.push(rate(&once(world.dir(), contender, &work).await?)?);
        }
        empty(&ask.redis).await?;
        let singles = u32::try_from(scale.singles / 5)?;
        let pickup = Ask { r#do: Deed::Pickup, jobs: singles, bound: SINGLES, ..ask.clone() };
        let said = once(world.dir(), contender, &pickup).await?;
        let times: Vec<f64> = serde_json::from_value(said["times"].clone())?;
        rates.p50.push(quantile(&times, 0.5));
        rates.p99.push(quantile(&times, 0.99));
    }
    Ok(rates)
}

/// From kill -9 of a worker in the middle of jobs until another, alive all the while, has done them all.
pub(super) async fn recovery(redis: String, contender: &Contender, dir: &Path) -> anyhow::Result<Recovery> {
    let ask = Ask { jobs: HELD, ..Ask::new(redis, contender) };
    empty(&ask.redis).await?;
    once(dir, contender, &Ask { r#do: Deed::Enqueue, ..ask.clone() }).await?;
    let mut holder = contender.start(&Ask { r#do: Deed::Hold, ..ask.clone() }, dir)?;
    for _ in 0..HELD {
        holder.must("started", PATIENCE).await?;
    }
    let bound = (BOUND + PATIENCE).as_secs_f64();
    let mut other = contender.start(&Ask { r#do: Deed::Work, bound, ..ask }, dir)?;
    other.must("ready", PATIENCE).await?;
    let killed = Instant::now();
    holder.kill().await?;
    let Some(said) = other.hears("count", BOUND).await? else { return Ok(Recovery::NotWithin) };
    ensure!(said["count"] == HELD, "{} jobs came back of {HELD}", said["count"]);
    Ok(Recovery::After(killed.elapsed().as_secs_f64()))
}

/// Runs one process to its last word.
async fn once(dir: &Path, contender: &Contender, ask: &Ask) -> anyhow::Result<Value> {
    let mut process = contender.start(ask, dir)?;
    let last = if matches!(ask.r#do, Deed::Pickup) { "times" } else { "count" };
    let said = process.must(last, PATIENCE + Duration::from_secs_f64(ask.bound)).await;
    said.with_context(|| format!("{:?} with {} at once", ask.r#do, ask.width))
}

/// Jobs a second.
fn rate(said: &Value) -> anyhow::Result<f64> {
    let (count, seconds) =
        (said["count"].as_f64().context("no count")?, said["seconds"].as_f64().context("no time")?);
    Ok(if seconds > 0.0 { count / seconds } else { 0.0 })
}

async fn empty(redis: &str) -> anyhow::Result<()> {
    let mut connection = Client::open(redis)?.get_multiplexed_async_connection().await?;
    Ok(redis::cmd("FLUSHDB").query_async(&mut connection).await?)
}
