//! The claim script: how many jobs a second many workers get out of one Redis, and whether that depends on how many wait.
//! Every limit of the budget is on, so every claim looks at all of them; they are only too wide to be met.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, ensure};
use domain::{InstallationId, JobId, TeamId};
use queue::{BudgetSettings, Claimer, Observation, Queue, QueueConfig, Ticket};
use redis::{Client, Script};
use tokio::{task::JoinSet, time::Instant};

use super::{
    Scale, load,
    report::{Report, Row, Target, quantile},
    tickets::ticket,
    world::World,
};

/// Workers that claim at the same time, each with a connection of its own.
const CLIENTS: usize = 16;
/// Jobs a busy worker asks for at once.
const BATCH: usize = 8;
/// Teams the waiting jobs belong to.
const TEAMS: usize = 8;
const LEASE: Duration = Duration::from_mins(1);
const REDIS: u16 = 20;
const BARE: &str = "bare script: pop the lowest, lease it";
const POP: &str = r"
local first = redis.call('ZPOPMIN', KEYS[1])
if first[1] then redis.call('ZADD', KEYS[2], ARGV[1], first[1]) end
return first[1]";

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let jobs = scale.jobs * 2;
    let (mut single, mut batch, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        single.push(claimed(world, jobs, 1).await?);
        batch.push(claimed(world, jobs, BATCH).await?);
        bare.push(popped(world, jobs).await?);
    }
    let row = Row::new(format!("jobs claimed one by one, {CLIENTS} workers"), "/s", &single);
    report.push(row.yardstick(BARE, &bare));
    let row = Row::new(format!("jobs claimed by {BATCH}, {CLIENTS} workers"), "/s", &batch);
    report.push(row.target(Target::AtLeast(15_000.0)));
    let (few, many) = (100, scale.jobs * 10);
    let mut ratios = Vec::new();
    for _ in 0..scale.repetitions {
        let (short, long) = (one(world, few, scale.singles).await?, one(world, many, scale.singles).await?);
        ratios.push(long / short);
    }
    let row = Row::new(format!("one claim with {many} waiting, against {few} (p50)"), "×", &ratios);
    report.push(row.target(Target::AtMost(1.5)));
    Ok(())
}

/// Jobs a second.
async fn claimed(world: &World, jobs: usize, want: usize) -> anyhow::Result<f64> {
    let queue = fresh(world).await?;
    fill(&queue, jobs).await?;
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for nth in 0..CLIENTS {
        let queue = connect(world)?;
        clients.spawn(async move {
            let claimer = Claimer::new(&format!("client-{nth}"), LEASE);
            let mut got = 0;
            loop {
                match queue.claim(&claimer, want).await?.jobs.len() {
                    0 => return anyhow::Ok(got),
                    some => got += some,
                }
            }
        });
    }
    let mut got = 0;
    while let Some(client) = clients.join_next().await {
        got += client??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(got == jobs, "{got} of {jobs} jobs were claimed");
    Ok(rate(jobs, seconds))
}

/// Measures jobs a second of a bare list, without fairness, lanes, budget, counts or leases.
async fn popped(world: &World, jobs: usize) -> anyhow::Result<f64> {
    fresh(world).await?;
    let client = Client::open(world.redis_url(REDIS))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut fill = redis::pipe();
    for nth in 0..jobs {
        fill.zadd("waiting", JobId::new().to_string(), nth).ignore();
    }
    fill.query_async::<()>(&mut connection).await?;
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..CLIENTS {
        let mut connection = client.get_multiplexed_async_connection().await?;
        clients.spawn(async move {
            let script = Script::new(POP);
            let mut call = script.key("waiting");
            let call = call.key("leased").arg(1);
            while call.invoke_async::<Option<String>>(&mut connection).await?.is_some() {}
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(rate(jobs, begun.elapsed().as_secs_f64()))
}

/// Median milliseconds of one claim while so many wait: each job that is claimed ends, and another takes its place.
async fn one(world: &World, waiting: usize, claims: usize) -> anyhow::Result<f64> {
    let queue = fresh(world).await?;
    let teams = fill(&queue, waiting).await?;
    let claimer = Claimer::new("one", LEASE);
    let mut times = Vec::with_capacity(claims);
    for nth in 0..claims {
        let begun = Instant::now();
        let claim = queue.claim(&claimer, 1).await?;
        times.push(load::millis(begun.elapsed()));
        let lease = claim.jobs.first().context("nothing to claim")?;
        queue.finish(lease).await?;
        queue.enqueue(&[ticket(teams[nth % TEAMS])]).await?;
    }
    Ok(quantile(&times, 0.5))
}

fn connect(world: &World) -> anyhow::Result<Queue> {
    Ok(Queue::connect(&QueueConfig::new(world.redis_url(REDIS), "claims"))?)
}

/// Returns an empty queue whose limits are too wide to be met.
async fn fresh(world: &World) -> anyhow::Result<Queue> {
    let client = Client::open(world.redis_url(REDIS))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("FLUSHDB").query_async::<()>(&mut connection).await?;
    let queue = connect(world)?;
    let wide = BudgetSettings {
        points_per_minute: 1_000_000,
        minute: Duration::from_millis(10),
        registrations: 1_000_000,
        registrations_period: Duration::from_millis(10),
        concurrency: 1_000_000,
        team_running: 1_000_000,
        ..BudgetSettings::default()
    };
    let installation = InstallationId::default();
    queue.set_budget(&installation, &wide).await?;
    let window = Observation {
        endpoint: Some("generate-jitconfig"),
        resource: "core".to_owned(),
        limit: 1_000_000_000,
        remaining: 1_000_000_000,
        reset_in: Duration::from_hours(1),
        reset: 1_800_000_000,
    };
    queue.observe(&installation, &window).await?;
    Ok(queue)
}

/// Puts jobs of several teams in.
async fn fill(queue: &Queue, jobs: usize) -> anyhow::Result<Vec<TeamId>> {
    let teams: Vec<TeamId> = (0..TEAMS).map(|_| TeamId::new()).collect();
    let mut left: VecDeque<Ticket> = (0..jobs).map(|nth| ticket(teams[nth % TEAMS])).collect();
    while !left.is_empty() {
        let some: Vec<Ticket> = left.drain(..left.len().min(500)).collect();
        queue.enqueue(&some).await?;
    }
    Ok(teams)
}

#[expect(clippy::cast_precision_loss, reason = "some thousand jobs")]
fn rate(jobs: usize, seconds: f64) -> f64 {
    jobs as f64 / seconds
}
