//! Fairness: waiting time of small teams beside a team that queues 10,000 jobs.

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

use crate::{
    environment::Environment,
    http_load,
    report::{Report, Row, Target, quantile},
    scale::Scale,
    tickets::{provision_ticket, weighted_ticket},
};

const REDIS: u16 = 21;
/// Jobs of the large team.
const FLOOD_JOBS: usize = 10_000;
/// Jobs that the worker runs at the same time.
const CONCURRENCY: usize = 16;
/// Duration of one job, as with GitHub.
const JOB_TIME: Duration = Duration::from_millis(100);
/// Pause between two jobs of the measured team, which then uses a quarter of its share.
const PAUSE: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let row = Row::new(
        "claims until B's 10 and C's 30 (weight 3) are out",
        "",
        &[claims_for_small_teams(environment).await?],
    );
    report.push(row.target(Target::AtMost(60.0)));
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        alone.push(median_wait(environment, "alone", scale.singles / 5, false).await?);
        beside.push(median_wait(environment, "beside", scale.singles / 5, true).await?);
    }
    let ratios: Vec<f64> = beside.iter().zip(&alone).map(|(beside, alone)| beside / alone).collect();
    report.push(
        Row::new("B's request to result beside A's flood (p50)", "ms", &beside).yardstick("alone", &alone),
    );
    report.push(Row::new("B beside the flood, against alone", "×", &ratios).target(Target::AtMost(1.1)));
    Ok(())
}

/// Queues jobs of A, then of B and C. Returns the number of claims until no job of B and C is left.
async fn claims_for_small_teams(environment: &Environment) -> anyhow::Result<f64> {
    let queue = open_queue(environment, "order").await?;
    let (a, b, c) = (TeamId::new(), TeamId::new(), TeamId::new());
    flood(&queue, a).await?;
    let small: Vec<Ticket> =
        (0..10).map(|_| provision_ticket(b)).chain((0..30).map(|_| weighted_ticket(c, 3.0))).collect();
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

/// Returns the median milliseconds from enqueuing to the result for a team with few jobs.
async fn median_wait(
    environment: &Environment,
    namespace: &str,
    jobs: usize,
    flooded: bool,
) -> anyhow::Result<f64> {
    let queue = open_queue(environment, namespace).await?;
    let (mut finished, _worker) = start_worker(&queue);
    let (a, b) = (TeamId::new(), TeamId::new());
    if flooded {
        flood(&queue, a).await?;
    }
    let mut times = Vec::with_capacity(jobs);
    for nth in 0..jobs + 3 {
        sleep(PAUSE).await;
        let ticket = provision_ticket(b);
        let (job, start) = (ticket.job, Instant::now());
        queue.enqueue(&[ticket]).await?;
        loop {
            let job_done = timeout(TIMEOUT, finished.recv()).await.context("B's job did not run")?;
            if job_done.context("the worker ended")? == job {
                break;
            }
        }
        if nth >= 3 {
            times.push(http_load::millis(start.elapsed()));
        }
    }
    if flooded {
        let stats = queue.stats().await?;
        let waiting: u64 = stats.lanes.iter().map(|lane| lane.waiting).sum();
        ensure!(waiting > 0, "the flood was over too soon");
    }
    Ok(quantile(&times, 0.5))
}

/// Starts a worker whose jobs take as long as with GitHub. Returns the ids of finished jobs; the worker ends when the guard
/// is dropped.
fn start_worker(queue: &Queue) -> (mpsc::UnboundedReceiver<JobId>, DropGuard) {
    let (sender, finished) = mpsc::unbounded_channel();
    let settings = BackendSettings::new("fair", CONCURRENCY);
    let (stop, queue) = (settings.stop.clone(), queue.clone());
    let stopped = stop.clone();
    let monitor = Monitor::new().register(move |_| {
        WorkerBuilder::new("fair")
            .backend(queue::backend(queue.clone(), settings.clone()))
            .concurrency(CONCURRENCY)
            .data(sender.clone())
            .parallelize(tokio::spawn)
            .build(run_job)
    });
    tokio::spawn(monitor.run_with_signal(async move {
        stopped.cancelled().await;
        Ok(())
    }));
    (finished, stop.drop_guard())
}

async fn run_job(
    claimed: Claimed,
    sender: Data<mpsc::UnboundedSender<JobId>>,
) -> Result<Outcome, Infallible> {
    sleep(JOB_TIME).await;
    let _ = sender.send(claimed.lease.job);
    Ok(Outcome::Done)
}

/// Returns an empty queue without GitHub's limits and without caps on teams, so that only the order decides.
async fn open_queue(environment: &Environment, namespace: &str) -> anyhow::Result<Queue> {
    let namespace = format!("{namespace}-{}", JobId::new());
    let queue = environment.queue_without_limits(REDIS, &namespace).await?;
    let unlimited = BudgetSettings {
        enabled: false,
        concurrency: 1_000_000,
        team_running: 1_000_000,
        ..BudgetSettings::default()
    };
    queue.set_budget(&InstallationId::default(), &unlimited).await?;
    Ok(queue)
}

async fn flood(queue: &Queue, team: TeamId) -> anyhow::Result<()> {
    for _ in 0..FLOOD_JOBS / 500 {
        let some: Vec<Ticket> = (0..500).map(|_| provision_ticket(team)).collect();
        queue.enqueue(&some).await?;
    }
    Ok(())
}
