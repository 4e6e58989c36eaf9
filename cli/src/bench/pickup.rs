//! From a push to the start of its handler in an idle worker, beside a bare push and pop.

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

use super::{
    Scale, load,
    report::{Report, Row, Target, quantile},
    tickets::ticket,
    world::World,
};

/// Between two jobs, so that the worker has gone to sleep.
const REST: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(10);
const BARE: &str = "bare LPUSH and BRPOP";

type Started = mpsc::UnboundedSender<Instant>;

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let (mut ours, mut bare) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..scale.repetitions {
        let queue = world.queue(3, "pickup").await?;
        keep(&mut ours, &through_worker(&queue, scale.singles).await?);
        keep(&mut bare, &through_redis(&world.redis_url(4), scale.singles).await?);
    }
    let p50 = Row::new("push to handler, idle worker, p50", "ms", &ours[0]);
    report.push(p50.target(Target::AtMost(2.0)).yardstick(BARE, &bare[0]));
    let p99 = Row::new("push to handler, idle worker, p99", "ms", &ours[1]);
    report.push(p99.target(Target::AtMost(10.0)).yardstick(BARE, &bare[1]));
    Ok(())
}

fn keep(figures: &mut [Vec<f64>; 2], times: &[f64]) {
    figures[0].push(quantile(times, 0.5));
    figures[1].push(quantile(times, 0.99));
}

async fn through_worker(queue: &Queue, jobs: usize) -> anyhow::Result<Vec<f64>> {
    let (tell, mut told) = mpsc::unbounded_channel::<Instant>();
    let settings = BackendSettings::new("bench", 8);
    let stop = settings.stop.clone();
    // However this ends, the worker ends with it.
    let _guard = stop.clone().drop_guard();
    let (for_worker, stopped) = (queue.clone(), stop.clone());
    let monitor = Monitor::new().register(move |_| {
        WorkerBuilder::new("bench")
            .backend(queue::backend(for_worker.clone(), settings.clone()))
            .concurrency(8)
            .data(tell.clone())
            .parallelize(tokio::spawn)
            .build(started)
    });
    let worker = tokio::spawn(monitor.run_with_signal(async move {
        stopped.cancelled().await;
        Ok(())
    }));
    let mut times = Vec::with_capacity(jobs);
    let team = TeamId::new();
    for nth in 0..jobs + 10 {
        sleep(REST).await;
        let begun = Instant::now();
        let ticket = ticket(team);
        let job = ticket.job;
        queue.enqueue(&[ticket]).await?;
        let Ok(at) = timeout(PATIENCE, told.recv()).await else {
            bail!("job {nth} was not picked up; it is {:?}", queue.position(job).await);
        };
        // The first ones only warm up.
        if nth >= 10 {
            times.push(load::millis(at.context("the worker ended")?.saturating_duration_since(begun)));
        }
    }
    stop.cancel();
    worker.await??;
    Ok(times)
}

async fn started(_: Claimed, tell: Data<Started>) -> Result<Outcome, Infallible> {
    let _ = tell.send(Instant::now());
    Ok(Outcome::Done)
}

async fn through_redis(url: &str, jobs: usize) -> anyhow::Result<Vec<f64>> {
    let client = Client::open(url)?;
    let settings = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut push = client.get_multiplexed_async_connection_with_config(&settings).await?;
    let mut pop = client.get_multiplexed_async_connection_with_config(&settings).await?;
    let (tell, mut told) = mpsc::unbounded_channel::<Instant>();
    let popper = tokio::spawn(async move {
        // Ends by itself when nothing comes any more.
        while let Ok(Some(_)) = pop.brpop("bare", PATIENCE.as_secs_f64()).await {
            if tell.send(Instant::now()).is_err() {
                break;
            }
        }
    });
    let mut times = Vec::with_capacity(jobs);
    for _ in 0..jobs {
        sleep(REST).await;
        let begun = Instant::now();
        push.lpush("bare", "job").await?;
        let at = timeout(PATIENCE, told.recv()).await.context("nothing was popped")?;
        times.push(load::millis(at.context("the popper ended")?.saturating_duration_since(begun)));
    }
    popper.abort();
    Ok(times)
}
