//! Measurements of one contender; every contender gets equal ones.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use redis::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    DATABASE, PeerRequest, PeerTask,
    process::Contender,
    table::{Rates, Recovery},
};
use crate::{environment::Environment, report::quantile, scale::Scale};

/// Time limit for a line of a process, beside the time limit of its request.
const LINE_TIMEOUT: Duration = Duration::from_mins(1);
/// Upper bound on the seconds of work. Some queues run two jobs per second.
const MAX_WORK_SECONDS: f64 = 10.0;
/// Upper bound on the seconds of single jobs.
const MAX_SINGLES_SECONDS: f64 = 30.0;
/// Jobs that the killed worker holds.
const HELD_JOBS: u32 = 10;
/// Time limit for the jobs of the killed worker.
pub(crate) const RECOVERY_TIMEOUT: Duration = Duration::from_mins(3);

/// Measures how fast a queue accepts, runs and starts jobs.
pub(crate) async fn measure_rates(
    environment: &Environment,
    contender: &Contender,
    scale: Scale,
) -> anyhow::Result<Rates> {
    let jobs = u32::try_from(scale.jobs / 2)?;
    let request = PeerRequest { jobs, ..PeerRequest::new(environment.redis_url(DATABASE), contender) };
    let mut rates = Rates::default();
    for _ in 0..scale.repetitions {
        for (width, figures) in [(1, &mut rates.one), (16, &mut rates.sixteen)] {
            flush_redis(&request.redis).await?;
            let added = run_process(
                environment.dir(),
                contender,
                &PeerRequest { task: PeerTask::Enqueue, ..request.clone() },
            )
            .await?;
            rates.enqueue.push(rate(&added)?);
            let work =
                PeerRequest { task: PeerTask::Work, width, bound: MAX_WORK_SECONDS, ..request.clone() };
            figures.push(rate(&run_process(environment.dir(), contender, &work).await?)?);
        }
        flush_redis(&request.redis).await?;
        let singles = u32::try_from(scale.singles / 5)?;
        let pickup = PeerRequest {
            task: PeerTask::Pickup,
            jobs: singles,
            bound: MAX_SINGLES_SECONDS,
            ..request.clone()
        };
        let result = run_process(environment.dir(), contender, &pickup).await?;
        let times: Vec<f64> = serde_json::from_value(result["times"].clone())?;
        rates.p50.push(quantile(&times, 0.5));
        rates.p99.push(quantile(&times, 0.99));
    }
    Ok(rates)
}

/// Kills a worker that holds jobs with SIGKILL. Returns the time until another running worker has done all of them.
pub(crate) async fn measure_recovery(
    redis: String,
    contender: &Contender,
    dir: &Path,
) -> anyhow::Result<Recovery> {
    let request = PeerRequest { jobs: HELD_JOBS, ..PeerRequest::new(redis, contender) };
    flush_redis(&request.redis).await?;
    run_process(dir, contender, &PeerRequest { task: PeerTask::Enqueue, ..request.clone() }).await?;
    let mut holder = contender.start(&PeerRequest { task: PeerTask::Hold, ..request.clone() }, dir)?;
    for _ in 0..HELD_JOBS {
        holder.expect_line("started", LINE_TIMEOUT).await?;
    }
    let bound = (RECOVERY_TIMEOUT + LINE_TIMEOUT).as_secs_f64();
    let mut other = contender.start(&PeerRequest { task: PeerTask::Work, bound, ..request }, dir)?;
    other.expect_line("ready", LINE_TIMEOUT).await?;
    let killed = Instant::now();
    holder.kill().await?;
    let Some(result) = other.next_line_with("count", RECOVERY_TIMEOUT).await? else {
        return Ok(Recovery::NotWithin);
    };
    ensure!(result["count"] == HELD_JOBS, "{} of {HELD_JOBS} jobs were done", result["count"]);
    Ok(Recovery::After(killed.elapsed().as_secs_f64()))
}

/// Runs a process until it has printed its result, and returns the result.
async fn run_process(dir: &Path, contender: &Contender, request: &PeerRequest) -> anyhow::Result<Value> {
    let mut process = contender.start(request, dir)?;
    let last = if matches!(request.task, PeerTask::Pickup) { "times" } else { "count" };
    let result = process.expect_line(last, LINE_TIMEOUT + Duration::from_secs_f64(request.bound)).await;
    result.with_context(|| format!("{:?} with {} at once", request.task, request.width))
}

/// Returns the jobs per second of a result.
fn rate(result: &Value) -> anyhow::Result<f64> {
    let (count, seconds) =
        (result["count"].as_f64().context("no count")?, result["seconds"].as_f64().context("no time")?);
    Ok(if seconds > 0.0 { count / seconds } else { 0.0 })
}

async fn flush_redis(redis: &str) -> anyhow::Result<()> {
    let mut connection = Client::open(redis)?.get_multiplexed_async_connection().await?;
    Ok(redis::cmd("FLUSHDB").query_async(&mut connection).await?)
}
