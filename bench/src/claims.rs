//! Speed of the claim script: jobs per second of many workers on one Redis, and time of a claim by queue length.
//!
//! All limits of the budget are on, so that every claim checks them. They are too wide to stop a claim.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, ensure};
use domain::{InstallationId, JobId, TeamId};
use queue::{BudgetSettings, Claimer, Observation, Queue, QueueConfig, Ticket};
use redis::{Client, Script};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    environment::Environment,
    http_load,
    report::{Report, Row, Target, quantile},
    scale::Scale,
    tickets::provision_ticket,
};

/// Number of workers that claim at the same time.
const CLIENTS: usize = 16;
/// Jobs that a busy worker claims in one call.
const BATCH_SIZE: usize = 8;
/// Number of teams that the waiting jobs belong to.
const TEAMS: usize = 8;
const LEASE: Duration = Duration::from_mins(1);
const REDIS: u16 = 20;
const YARDSTICK: &str = "bare script: pop the lowest, lease it";
/// Pops the first job and records its lease.
const POP_AND_LEASE: &str = r"
local first = redis.call('ZPOPMIN', KEYS[1])
if first[1] then redis.call('ZADD', KEYS[2], ARGV[1], first[1]) end
return first[1]";

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let jobs = scale.jobs * 2;
    let (mut single, mut batch, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        single.push(claims_per_second(environment, jobs, Clients { number: CLIENTS, want: 1 }).await?);
        let by_batch = Clients { number: CLIENTS, want: BATCH_SIZE };
        batch.push(claims_per_second(environment, jobs, by_batch).await?);
        bare.push(pops_per_second(environment, jobs).await?);
    }
    let row = Row::new(format!("jobs claimed one by one, {CLIENTS} workers"), "/s", &single);
    report.push(row.yardstick(YARDSTICK, &bare));
    let row = Row::new(format!("jobs claimed by {BATCH_SIZE}, {CLIENTS} workers"), "/s", &batch);
    report.push(row.target(Target::AtLeast(15_000.0)));
    let (few, many) = (100, scale.jobs * 10);
    let mut ratios = Vec::new();
    for _ in 0..scale.repetitions {
        let (short, long) = (
            median_claim(environment, few, scale.singles).await?,
            median_claim(environment, many, scale.singles).await?,
        );
        ratios.push(long / short);
    }
    let row = Row::new(format!("one claim with {many} waiting, against {few} (p50)"), "×", &ratios);
    report.push(row.target(Target::AtMost(1.5)));
    Ok(())
}

/// Workers that claim at the same time, each with its own connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clients {
    /// Number of workers.
    pub(crate) number: usize,
    /// Most jobs of one call.
    pub(crate) want: usize,
}

/// Returns the jobs per second that workers claim.
pub(crate) async fn claims_per_second(
    environment: &Environment,
    jobs: usize,
    of: Clients,
) -> anyhow::Result<f64> {
    let queue = empty_queue(environment).await?;
    enqueue_jobs(&queue, jobs).await?;
    let mut clients = JoinSet::new();
    let start = Instant::now();
    for nth in 0..of.number {
        let queue = connect(environment)?;
        clients.spawn(async move {
            let claimer = Claimer::new(&format!("client-{nth}"), LEASE);
            let mut got = 0;
            loop {
                match queue.claim(&claimer, of.want).await?.jobs.len() {
                    0 => return anyhow::Ok(got),
                    count => got += count,
                }
            }
        });
    }
    let mut got = 0;
    while let Some(client) = clients.join_next().await {
        got += client??;
    }
    let seconds = start.elapsed().as_secs_f64();
    ensure!(got == jobs, "{got} of {jobs} jobs were claimed");
    Ok(rate(jobs, seconds))
}

/// Returns the jobs per second of a bare sorted set, without fairness, lanes, budget or counts.
async fn pops_per_second(environment: &Environment, jobs: usize) -> anyhow::Result<f64> {
    empty_queue(environment).await?;
    let client = Client::open(environment.redis_url(REDIS))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut pipeline = redis::pipe();
    for nth in 0..jobs {
        pipeline.zadd("waiting", JobId::new().to_string(), nth).ignore();
    }
    pipeline.query_async::<()>(&mut connection).await?;
    let mut clients = JoinSet::new();
    let start = Instant::now();
    for _ in 0..CLIENTS {
        let mut connection = client.get_multiplexed_async_connection().await?;
        clients.spawn(async move {
            let script = Script::new(POP_AND_LEASE);
            let mut call = script.key("waiting");
            let call = call.key("leased").arg(1);
            while call.invoke_async::<Option<String>>(&mut connection).await?.is_some() {}
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(rate(jobs, start.elapsed().as_secs_f64()))
}

/// Returns the median milliseconds of one claim. Each claimed job is finished and replaced, so that `waiting` jobs wait.
async fn median_claim(environment: &Environment, waiting: usize, claims: usize) -> anyhow::Result<f64> {
    let queue = empty_queue(environment).await?;
    let teams = enqueue_jobs(&queue, waiting).await?;
    let claimer = Claimer::new("single", LEASE);
    let mut times = Vec::with_capacity(claims);
    for nth in 0..claims {
        let start = Instant::now();
        let claim = queue.claim(&claimer, 1).await?;
        times.push(http_load::millis(start.elapsed()));
        let lease = claim.jobs.first().context("nothing to claim")?;
        queue.finish(lease).await?;
        queue.enqueue(&[provision_ticket(teams[nth % TEAMS])]).await?;
    }
    Ok(quantile(&times, 0.5))
}

fn connect(environment: &Environment) -> anyhow::Result<Queue> {
    Ok(Queue::connect(&QueueConfig::new(environment.redis_url(REDIS), "claims"))?)
}

/// Returns an empty queue whose limits are too wide to stop a claim.
async fn empty_queue(environment: &Environment) -> anyhow::Result<Queue> {
    let client = Client::open(environment.redis_url(REDIS))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("FLUSHDB").query_async::<()>(&mut connection).await?;
    let queue = connect(environment)?;
    widen_budget(&queue, &InstallationId::default()).await?;
    Ok(queue)
}

/// Gives an installation limits that are too wide to stop a claim.
pub(crate) async fn widen_budget(queue: &Queue, installation: &InstallationId) -> anyhow::Result<()> {
    let wide = BudgetSettings {
        points_per_minute: 1_000_000,
        minute: Duration::from_millis(10),
        registrations: 1_000_000,
        registrations_period: Duration::from_millis(10),
        concurrency: 1_000_000,
        team_running: 1_000_000,
        ..BudgetSettings::default()
    };
    queue.set_budget(installation, &wide).await?;
    let window = Observation {
        endpoint: Some("generate-jitconfig"),
        resource: "core".to_owned(),
        limit: 1_000_000_000,
        remaining: 1_000_000_000,
        reset_in: Duration::from_hours(1),
        reset: 1_800_000_000,
    };
    queue.observe(installation, &window).await?;
    Ok(())
}

/// Enqueues jobs of [`TEAMS`] teams and returns the teams.
pub(crate) async fn enqueue_jobs(queue: &Queue, jobs: usize) -> anyhow::Result<Vec<TeamId>> {
    let teams: Vec<TeamId> = (0..TEAMS).map(|_| TeamId::new()).collect();
    let mut remaining: VecDeque<Ticket> = (0..jobs).map(|nth| provision_ticket(teams[nth % TEAMS])).collect();
    while !remaining.is_empty() {
        let batch: Vec<Ticket> = remaining.drain(..remaining.len().min(500)).collect();
        queue.enqueue(&batch).await?;
    }
    Ok(teams)
}

#[expect(clippy::cast_precision_loss, reason = "some thousand jobs")]
fn rate(jobs: usize, seconds: f64) -> f64 {
    jobs as f64 / seconds
}
