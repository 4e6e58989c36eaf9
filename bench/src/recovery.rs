//! Downtime after a worker was killed, after a worker was stopped, and after Redis was restarted.

use std::time::Duration;

use anyhow::{Context, ensure};
use devstack::Stack;
use github_twin::{Fault, FaultKind};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    environment::{Deployment, Environment},
    http_load::{self, PostRequests},
    process::ServiceProcess,
    report::{Report, Row, Target},
    scale::Scale,
};

const POLL_INTERVAL: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_mins(2);
/// GitHub's latency while a worker is killed: long enough that all its jobs are running.
const LONG_LATENCY: Duration = Duration::from_secs(3);
/// GitHub's latency otherwise.
const SHORT_LATENCY: Duration = Duration::from_millis(100);
/// Time for which Redis is down.
const REDIS_DOWNTIME: Duration = Duration::from_secs(1);
/// Number of jobs that keep two workers busy for seconds.
const BUSY_JOBS: usize = 800;
/// Counts the job if it was started again after this fence, or is finished.
const RESTARTED: &str = "SELECT count(*) FROM jobs WHERE id = $1 AND (fence > $2 OR finished_at IS NOT NULL)";
/// Counts the job if it is finished.
const FINISHED: &str = "SELECT count(*) FROM jobs WHERE id = $1 AND fence >= $2 AND finished_at IS NOT NULL";
const AFTER_KILL: Target = Target::AtMost(20.0);
const AFTER_TERM: Target = Target::AtMost(1.0);
const AFTER_REDIS: Target = Target::AtMost(10.0);

/// A complete deployment with its processes.
struct Service<'e> {
    deployment: Deployment<'e>,
    requests: PostRequests,
    postgres: PgConnection,
    workers: Vec<ServiceProcess>,
}

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let deployment = environment.deployment("recovering", 7)?;
    let mut api = deployment.start_api().await?;
    let requests = PostRequests::provision(&api.address().await?, &deployment.create_callers().await?);
    let postgres = PgConnection::connect(&deployment.database_url).await?;
    let scheduler = deployment.start_scheduler()?;
    let mut service = Service { deployment, requests, postgres, workers: Vec::new() };
    let (mut kills, mut stops, mut redis) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        kills.push(service.kill_worker().await?);
        stops.push(service.stop_worker().await?);
        redis.push(service.restart_redis().await?);
    }
    for worker in service.workers {
        worker.stop().await?;
    }
    scheduler.stop().await?;
    api.stop().await?;
    let rows = [
        (
            "worker killed until its last job runs elsewhere",
            figures(&kills, |kill| kill.restarted),
            AFTER_KILL,
        ),
        ("worker killed until its last job is done", figures(&kills, |kill| kill.finished), AFTER_KILL),
        ("SIGTERM until the worker's jobs are done", figures(&stops, |stop| stop.finished), AFTER_TERM),
        ("SIGTERM until the worker has ended", figures(&stops, |stop| stop.ended), AFTER_TERM),
        ("Redis back until the next job is done", redis, AFTER_REDIS),
    ];
    for (name, seconds, target) in rows {
        report.push(Row::new(name, "s", &seconds).target(target));
    }
    Ok(())
}

fn figures<T>(measured: &[T], figure: impl Fn(&T) -> f64) -> Vec<f64> {
    measured.iter().map(figure).collect()
}

/// Seconds since a worker was killed.
struct Kill {
    /// Until its last job runs elsewhere.
    restarted: f64,
    /// Until its last job is done.
    finished: f64,
}

/// Seconds since a worker got SIGTERM.
struct Stop {
    /// Until its last job is done, on any worker.
    finished: f64,
    /// Until the process has ended.
    ended: f64,
}

impl Service<'_> {
    /// Kills a worker with SIGKILL while it runs jobs.
    async fn kill_worker(&mut self) -> anyhow::Result<Kill> {
        let victim = self.start_two_workers(LONG_LATENCY).await?;
        // As many jobs as both workers run at once, so that the other worker is free when the leases end.
        http_load::run_closed_loop(&self.requests, TIMEOUT, 16).await?;
        let jobs = self.running_jobs(&victim, 4).await?;
        let start = Instant::now();
        victim.kill().await?;
        self.set_github_latency(SHORT_LATENCY);
        let restarted = seconds_until(&mut self.postgres, start, &jobs, RESTARTED).await?;
        let finished = seconds_until(&mut self.postgres, start, &jobs, FINISHED).await?;
        self.wait_until_done().await?;
        Ok(Kill { restarted, finished })
    }

    /// Stops one of two busy workers with SIGTERM.
    async fn stop_worker(&mut self) -> anyhow::Result<Stop> {
        let victim = self.start_two_workers(SHORT_LATENCY).await?;
        http_load::run_closed_loop(&self.requests, TIMEOUT, BUSY_JOBS).await?;
        let jobs = self.running_jobs(&victim, 4).await?;
        let start = Instant::now();
        let ending = async {
            victim.stop().await?;
            anyhow::Ok(start.elapsed().as_secs_f64())
        };
        let (ended, finished) =
            tokio::try_join!(ending, seconds_until(&mut self.postgres, start, &jobs, FINISHED))?;
        self.wait_until_done().await?;
        Ok(Stop { finished, ended })
    }

    /// Kills Redis under load and starts it again. Returns the seconds from its start until a job is done.
    async fn restart_redis(&mut self) -> anyhow::Result<f64> {
        let spare = self.start_two_workers(SHORT_LATENCY).await?;
        self.workers.push(spare);
        http_load::run_closed_loop(&self.requests, TIMEOUT, BUSY_JOBS).await?;
        let environment = self.deployment.environment();
        environment.change_redis(Stack::kill)?;
        // Running jobs end in the meantime.
        sleep(REDIS_DOWNTIME).await;
        environment.change_redis(Stack::restart)?;
        let (start, before) = (Instant::now(), self.open_jobs().await?);
        ensure!(before > 0, "no job is left");
        while self.open_jobs().await? >= before {
            ensure!(start.elapsed() < TIMEOUT, "no job is done any more");
            sleep(POLL_INTERVAL).await;
        }
        let resumed = start.elapsed().as_secs_f64();
        self.wait_until_done().await?;
        Ok(resumed)
    }

    /// Starts workers until there are two, sets GitHub's latency, and returns one of the workers.
    async fn start_two_workers(&mut self, latency: Duration) -> anyhow::Result<ServiceProcess> {
        self.set_github_latency(latency);
        while self.workers.len() < 2 {
            let mut worker = self.deployment.start_worker()?;
            worker.wait_for("working").await?;
            self.workers.push(worker);
        }
        self.workers.pop().context("no worker")
    }

    fn set_github_latency(&self, latency: Duration) {
        let twin = &self.deployment.environment().twin;
        twin.clear_faults();
        let ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        twin.fault(Fault::new(FaultKind::Latency { ms }).on("POST", "generate-jitconfig"));
    }

    /// Waits until a worker runs at least `least` jobs. Returns their ids and fences.
    async fn running_jobs(
        &mut self,
        worker: &ServiceProcess,
        least: usize,
    ) -> anyhow::Result<Vec<(Uuid, i64)>> {
        let (pid, start) = (worker.pid()?, Instant::now());
        let running =
            "SELECT id, fence FROM jobs WHERE state = 'running' AND started_by LIKE '%-' || $1 || '-%'";
        loop {
            let rows = sqlx::query_as(running).bind(pid.to_string()).fetch_all(&mut self.postgres).await?;
            if rows.len() >= least {
                return Ok(rows);
            }
            ensure!(start.elapsed() < TIMEOUT, "the worker runs {} jobs", rows.len());
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns the number of provision jobs that are not finished.
    async fn open_jobs(&mut self) -> anyhow::Result<i64> {
        let open = "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND kind = 'provision'";
        Ok(sqlx::query_scalar(open).fetch_one(&mut self.postgres).await?)
    }

    async fn wait_until_done(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.open_jobs().await? > 0 {
            ensure!(start.elapsed() < TIMEOUT, "{} jobs are still not done", self.open_jobs().await?);
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }
}

/// Waits until the query counts each of the jobs. Returns the seconds since `since`.
async fn seconds_until(
    postgres: &mut PgConnection,
    since: Instant,
    jobs: &[(Uuid, i64)],
    query: &'static str,
) -> anyhow::Result<f64> {
    for (job, fence) in jobs {
        loop {
            let count = sqlx::query_scalar::<_, i64>(query).bind(job).bind(fence);
            if count.fetch_one(&mut *postgres).await? > 0 {
                break;
            }
            ensure!(since.elapsed() < TIMEOUT, "job {job} does not move");
            sleep(POLL_INTERVAL).await;
        }
    }
    Ok(since.elapsed().as_secs_f64())
}
