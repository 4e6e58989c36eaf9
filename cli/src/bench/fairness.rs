//! Fairness: what a team that queues 10,000 jobs costs the others.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, ensure};
use apalis::prelude::{Data, Monitor, ParallelizeExt, WorkerBuilder, WorkerBuilderExt};
use domain::{InstallationId, JobId, TeamId};
use queue::{BackendSettings, BudgetSettings, Claimed, Claimer, Outcome, Queue, Ticket};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::DropGuard;

use super::{
    Scale, load,
    report::{Report, Row, Target, quantile},
    tickets::{ticket, weighed},
    world::World,
};

const REDIS: u16 = 21;
/// Jobs of the team that queues too much.
const FLOOD: usize = 10_000;
/// Jobs run at once.
const PLACES: usize = 16;
/// What GitHub takes for one job.
const WORK: Duration = Duration::from_millis(100);
/// Between two jobs of the team that is measured: a quarter of its share of what the places do.
const PACE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let row = Row::new("claims until B's 10 and C's 30 (weight 3) are out", "", &[claims(world).await?]);
    report.push(row.target(Target::AtMost(60.0)));
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        alone.push(waits(world, "alone", scale.singles / 5, false).await?);
        beside.push(waits(world, "beside", scale.singles / 5, true).await?);
    }
    let ratios: Vec<f64> = beside.iter().zip(&alone).map(|(beside, alone)| beside / alone).collect();
    report.push(
        Row::new("B's request to result beside A's flood (p50)", "ms", &beside).yardstick("alone", &alone),
    );
    report.push(Row::new("the same against alone", "×", &ratios).target(Target::AtMost(1.1)));
    Ok(())
}

/// A queued first, then B and C. Answers after how many claims none of theirs is left.
async fn claims(world: &World) -> anyhow::Result<f64> {
    let queue = open(world, "order").await?;
    let (a, b, c) = (TeamId::new(), TeamId::new(), TeamId::new());
    flood(&queue, a).await?;
    let small: Vec<Ticket> = (0..10).map(|_| ticket(b)).chain((0..30).map(|_| weighed(c, 3.0))).collect();
    let mut left: Vec<JobId> = small.iter().map(|ticket| ticket.job).collect();
    queue.enqueue(&small).await?;
    let claimer = Claimer::new("order", Duration::from_mins(1));
    for nth in 1_u32..=1000 {
        let claim = queue.claim(&claimer, 1).await?;
        let job = claim.jobs.first().context("nothing to claim")?.job;
        left.retain(|id| *id != job);
        if left.is_empty() {
            return Ok(f64::from(nth));
        }
    }
    anyhow::bail!("{} jobs of the small teams still wait after 1,000 claims", left.len())
}

/// Median milliseconds from request to result of a team that asks now and then, through a worker.
async fn waits(world: &World, namespace: &str, jobs: usize, flooded: bool) -> anyhow::Result<f64> {
    let queue = open(world, namespace).await?;
    let (mut done, _worker) = worker(&queue);
    let (a, b) = (TeamId::new(), TeamId::new());
    if flooded {
        flood(&queue, a).await?;
    }
    let mut times = Vec::with_capacity(jobs);
    for nth in 0..jobs + 3 {
        sleep(PACE).await;
        let ticket = ticket(b);
        let (job, begun) = (ticket.job, Instant::now());
        queue.enqueue(&[ticket]).await?;
        loop {
            let told = timeout(PATIENCE, done.recv()).await.context("B's job did not run")?;
            if told.context("the worker ended")? == job {
                break;
            }
        }
        if nth >= 3 {
            times.push(load::millis(begun.elapsed()));
        }
    }
    if flooded {
        let stats = queue.stats().await?;
        let waiting: u64 = stats.lanes.iter().map(|lane| lane.waiting).sum();
        ensure!(waiting > 0, "the flood was over too soon");
    }
    Ok(quantile(&times, 0.5))
}

/// A worker whose jobs take as long as GitHub would; it ends with the guard.
fn worker(queue: &Queue) -> (mpsc::UnboundedReceiver<JobId>, DropGuard) {
    let (tell, told) = mpsc::unbounded_channel();
    let settings = BackendSettings::new("fair", PLACES);
    let (stop, queue) = (settings.stop.clone(), queue.clone());
    let stopped = stop.clone();
    let monitor = Monitor::new().register(move |_| {
        WorkerBuilder::new("fair")
            .backend(queue::backend(queue.clone(), settings.clone()))
            .concurrency(PLACES)
            .data(tell.clone())
            .parallelize(tokio::spawn)
            .build(work)
    });
    tokio::spawn(monitor.run_with_signal(async move {
        stopped.cancelled().await;
        Ok(())
    }));
    (told, stop.drop_guard())
}

async fn work(claimed: Claimed, tell: Data<mpsc::UnboundedSender<JobId>>) -> Result<Outcome, Infallible> {
    sleep(WORK).await;
    let _ = tell.send(claimed.lease.job);
    Ok(Outcome::Done)
}

/// Without GitHub's limits and teams' caps: what is left is the order.
async fn open(world: &World, namespace: &str) -> anyhow::Result<Queue> {
    let namespace = format!("{namespace}-{}", JobId::new());
    let queue = world.queue(REDIS, &namespace).await?;
    let order = BudgetSettings {
        enabled: false,
        concurrency: 1_000_000,
        team_running: 1_000_000,
        ..BudgetSettings::default()
    };
    queue.set_budget(&InstallationId::default(), &order).await?;
    Ok(queue)
}

async fn flood(queue: &Queue, team: TeamId) -> anyhow::Result<()> {
    for _ in 0..FLOOD / 500 {
        let some: Vec<Ticket> = (0..500).map(|_| ticket(team)).collect();
        queue.enqueue(&some).await?;
    }
    Ok(())
}
