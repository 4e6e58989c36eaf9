//! Downtime after a failure: a worker is killed, a worker is stopped, Redis is restarted.

use std::time::Duration;

use anyhow::{Context, ensure};
use devstack::Stack;
use github_twin::{Fault, FaultKind};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    Scale,
    load::{self, Ask},
    part::Part,
    report::{Report, Row, Target},
    world::{Site, World},
};

const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(2);
/// GitHub's time for a config while a worker is killed: its jobs are surely in the middle.
const LONG: Duration = Duration::from_secs(3);
/// And otherwise.
const SHORT: Duration = Duration::from_millis(100);
/// Redis stays away for so long.
const AWAY: Duration = Duration::from_secs(1);
/// Jobs that keep two workers busy for seconds.
const MANY: usize = 800;
/// A job and the fence it had: it was started again, or it is over.
const AGAIN: &str = "SELECT count(*) FROM jobs WHERE id = $1 AND (fence > $2 OR finished_at IS NOT NULL)";
const DONE: &str = "SELECT count(*) FROM jobs WHERE id = $1 AND fence >= $2 AND finished_at IS NOT NULL";
const AFTER_KILL: Target = Target::AtMost(20.0);
const AFTER_TERM: Target = Target::AtMost(1.0);
const AFTER_REDIS: Target = Target::AtMost(10.0);

/// A whole service, and its jobs.
struct Service<'w> {
    site: Site<'w>,
    ask: Ask,
    postgres: PgConnection,
    workers: Vec<Part>,
}

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let site = world.site("recovering", 7)?;
    let mut api = site.api().await?;
    let ask = Ask::provision(&api.address().await?, &site.callers().await?);
    let postgres = PgConnection::connect(&world.database_url(&site.database)).await?;
    let scheduler = site.scheduler()?;
    let mut service = Service { site, ask, postgres, workers: Vec::new() };
    let (mut restarted, mut done) = (Vec::new(), Vec::new());
    let (mut flowed, mut ended, mut resumed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        let (again, last) = service.killed().await?;
        restarted.push(again);
        done.push(last);
        let (flow, end) = service.told_to_go().await?;
        flowed.push(flow);
        ended.push(end);
        resumed.push(service.redis_away().await?);
    }
    for worker in service.workers {
        worker.stop().await?;
    }
    scheduler.stop().await?;
    api.stop().await?;
    report.push(
        Row::new("worker killed until its last job runs elsewhere", "s", &restarted).target(AFTER_KILL),
    );
    report.push(Row::new("worker killed until its last job is done", "s", &done).target(AFTER_KILL));
    report.push(Row::new("SIGTERM until the worker's jobs are done", "s", &flowed).target(AFTER_TERM));
    report.push(Row::new("SIGTERM until the worker has ended", "s", &ended).target(AFTER_TERM));
    report.push(Row::new("Redis back until the next job is done", "s", &resumed).target(AFTER_REDIS));
    Ok(())
}

impl Service<'_> {
    /// kill -9 of a worker in the middle of jobs: seconds until each runs again, and until each is done.
    async fn killed(&mut self) -> anyhow::Result<(f64, f64)> {
        let victim = self.two_workers(LONG).await?;
        // As many as both do at once, so that the other has free hands again when they are due.
        load::closed_loop(&self.ask, PATIENCE, 16).await?;
        let held = self.held(&victim, 4).await?;
        let begun = Instant::now();
        victim.kill().await?;
        self.github(SHORT);
        let again = until(&mut self.postgres, begun, &held, AGAIN).await?;
        let done = until(&mut self.postgres, begun, &held, DONE).await?;
        self.drained().await?;
        Ok((again, done))
    }

    /// SIGTERM of one of two busy workers: seconds until what it held is done, wherever, and until it has ended.
    async fn told_to_go(&mut self) -> anyhow::Result<(f64, f64)> {
        let victim = self.two_workers(SHORT).await?;
        load::closed_loop(&self.ask, PATIENCE, MANY).await?;
        let held = self.held(&victim, 4).await?;
        let begun = Instant::now();
        let ending = async {
            victim.stop().await?;
            anyhow::Ok(begun.elapsed().as_secs_f64())
        };
        let (ended, flowed) = tokio::try_join!(ending, until(&mut self.postgres, begun, &held, DONE))?;
        self.drained().await?;
        Ok((flowed, ended))
    }

    /// Redis killed under load and started again: seconds from its first answer until a job is done.
    async fn redis_away(&mut self) -> anyhow::Result<f64> {
        let spare = self.two_workers(SHORT).await?;
        self.workers.push(spare);
        load::closed_loop(&self.ask, PATIENCE, MANY).await?;
        let world = self.site.world();
        world.redis(Stack::kill)?;
        // What runs ends in the meantime.
        sleep(AWAY).await;
        world.redis(Stack::restart)?;
        let (begun, before) = (Instant::now(), self.open().await?);
        ensure!(before > 0, "nothing is left to do");
        while self.open().await? >= before {
            ensure!(begun.elapsed() < PATIENCE, "nothing is done any more");
            sleep(LOOK).await;
        }
        let resumed = begun.elapsed().as_secs_f64();
        self.drained().await?;
        Ok(resumed)
    }

    /// Two workers and this GitHub; one worker is handed out to be killed.
    async fn two_workers(&mut self, latency: Duration) -> anyhow::Result<Part> {
        self.github(latency);
        while self.workers.len() < 2 {
            let mut worker = self.site.worker()?;
            worker.wait_for("working").await?;
            self.workers.push(worker);
        }
        self.workers.pop().context("no worker")
    }

    fn github(&self, latency: Duration) {
        let twin = &self.site.world().twin;
        twin.clear_faults();
        let ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        twin.fault(Fault::new(FaultKind::Latency { ms }).on("POST", "generate-jitconfig"));
    }

    /// The jobs a worker is in the middle of, with their fences, once they are so many.
    async fn held(&mut self, worker: &Part, least: usize) -> anyhow::Result<Vec<(Uuid, i64)>> {
        let (pid, begun) = (worker.pid()?, Instant::now());
        let running =
            "SELECT id, fence FROM jobs WHERE state = 'running' AND started_by LIKE '%-' || $1 || '-%'";
        loop {
            let rows = sqlx::query_as(running).bind(pid.to_string()).fetch_all(&mut self.postgres).await?;
            if rows.len() >= least {
                return Ok(rows);
            }
            ensure!(begun.elapsed() < PATIENCE, "the worker runs {} jobs", rows.len());
            sleep(LOOK).await;
        }
    }

    /// Requests that are not answered yet.
    async fn open(&mut self) -> anyhow::Result<i64> {
        let open = "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND kind = 'provision'";
        Ok(sqlx::query_scalar(open).fetch_one(&mut self.postgres).await?)
    }

    async fn drained(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.open().await? > 0 {
            ensure!(begun.elapsed() < PATIENCE, "{} jobs are still not done", self.open().await?);
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Seconds since then, once this holds for the last of these jobs.
async fn until(
    postgres: &mut PgConnection,
    since: Instant,
    jobs: &[(Uuid, i64)],
    what: &'static str,
) -> anyhow::Result<f64> {
    for (job, fence) in jobs {
        loop {
            let holds = sqlx::query_scalar::<_, i64>(what).bind(job).bind(fence);
            if holds.fetch_one(&mut *postgres).await? > 0 {
                break;
            }
            ensure!(since.elapsed() < PATIENCE, "job {job} does not move");
            sleep(LOOK).await;
        }
    }
    Ok(since.elapsed().as_secs_f64())
}
