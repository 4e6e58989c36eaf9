//! Time from enqueuing a job to its handler in an idle worker, beside a bare push and pop.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, bail};
use apalis::prelude::{Data, Monitor, ParallelizeExt, WorkerBuilder, WorkerBuilderExt};
use domain::TeamId;
use queue::{BackendSettings, Claimed, Outcome, Queue};
use redis::{AsyncConnectionConfig, AsyncTypedCommands, Client};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    environment::Environment,
    http_load,
    report::{Report, Row, Target, quantile},
    scale::Scale,
    tickets::provision_ticket,
};

/// Pause between two jobs, after which the worker is idle.
const PAUSE: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(10);
const YARDSTICK: &str = "bare LPUSH and BRPOP";

/// Sender of the times at which handlers start.
type StartSender = mpsc::UnboundedSender<Instant>;

/// Milliseconds of each repetition.
#[derive(Default)]
struct Figures {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut ours, mut bare) = (Figures::default(), Figures::default());
    for _ in 0..scale.repetitions {
        let queue = environment.queue_without_limits(3, "pickup").await?;
        ours.add(&times_through_worker(&queue, scale.singles).await?);
        bare.add(&times_through_redis(&environment.redis_url(4), scale.singles).await?);
    }
    let p50 = Row::new("push to handler, idle worker, p50", "ms", &ours.p50);
    report.push(p50.target(Target::AtMost(2.0)).yardstick(YARDSTICK, &bare.p50));
    let p99 = Row::new("push to handler, idle worker, p99", "ms", &ours.p99);
    report.push(p99.target(Target::AtMost(10.0)).yardstick(YARDSTICK, &bare.p99));
    Ok(())
}

impl Figures {
    fn add(&mut self, times: &[f64]) {
        self.p50.push(quantile(times, 0.5));
        self.p99.push(quantile(times, 0.99));
    }
}

async fn times_through_worker(queue: &Queue, jobs: usize) -> anyhow::Result<Vec<f64>> {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Instant>();
    let settings = BackendSettings::new("bench", 8);
    let stop = settings.stop.clone();
    // Stops the worker after a failure as well.
    let _guard = stop.clone().drop_guard();
    let (worker_queue, stopped) = (queue.clone(), stop.clone());
    let monitor = Monitor::new().register(move |_| {
        WorkerBuilder::new("bench")
            .backend(queue::backend(worker_queue.clone(), settings.clone()))
            .concurrency(8)
            .data(sender.clone())
            .parallelize(tokio::spawn)
            .build(send_start_time)
    });
    let worker = tokio::spawn(monitor.run_with_signal(async move {
        stopped.cancelled().await;
        Ok(())
    }));
    let mut times = Vec::with_capacity(jobs);
    let team = TeamId::new();
    for nth in 0..jobs + 10 {
        sleep(PAUSE).await;
        let start = Instant::now();
        let ticket = provision_ticket(team);
        let job = ticket.job;
        queue.enqueue(&[ticket]).await?;
        let Ok(at) = timeout(TIMEOUT, receiver.recv()).await else {
            bail!("job {nth} was not picked up; it is {:?}", queue.position(job).await);
        };
        // The first ten jobs are the warm-up.
        if nth >= 10 {
            times.push(http_load::millis(at.context("the worker ended")?.saturating_duration_since(start)));
        }
    }
    stop.cancel();
    worker.await??;
    Ok(times)
}

async fn send_start_time(_: Claimed, sender: Data<StartSender>) -> Result<Outcome, Infallible> {
    let _ = sender.send(Instant::now());
    Ok(Outcome::Done)
}

async fn times_through_redis(url: &str, jobs: usize) -> anyhow::Result<Vec<f64>> {
    let client = Client::open(url)?;
    let settings = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut push = client.get_multiplexed_async_connection_with_config(&settings).await?;
    let mut pop = client.get_multiplexed_async_connection_with_config(&settings).await?;
    let (sender, mut receiver) = mpsc::unbounded_channel::<Instant>();
    let popper = tokio::spawn(async move {
        // Ends when no job arrives for the length of the time-out.
        while let Ok(Some(_)) = pop.brpop("bare", TIMEOUT.as_secs_f64()).await {
            if sender.send(Instant::now()).is_err() {
                break;
            }
        }
    });
    let mut times = Vec::with_capacity(jobs);
    for _ in 0..jobs {
        sleep(PAUSE).await;
        let start = Instant::now();
        push.lpush("bare", "job").await?;
        let at = timeout(TIMEOUT, receiver.recv()).await.context("nothing was popped")?;
        times.push(http_load::millis(at.context("the popper ended")?.saturating_duration_since(start)));
    }
    popper.abort();
    Ok(times)
}
