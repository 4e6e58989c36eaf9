//! Our own queue as one of the contenders: the queue and an apalis worker whose handler does nothing.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use apalis::prelude::{Data, Monitor, ParallelizeExt, WorkerBuilder, WorkerBuilderExt};
use domain::{InstallationId, TeamId};
use queue::{BackendSettings, BudgetSettings, Claimed, Outcome, Queue, QueueConfig};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{Ask, Deed};
use crate::{
    bench::{load::millis, tickets::ticket},
    output,
};

/// What a handler tells: when it began.
type Told = mpsc::UnboundedReceiver<Instant>;

/// What every handler needs: whom to tell, and whether it never ends.
#[derive(Clone)]
struct Handler {
    tell: mpsc::UnboundedSender<Instant>,
    holds: bool,
}

/// Does what is asked, and says so.
pub(in crate::bench) async fn be(ask: &str) -> anyhow::Result<()> {
    let ask: Ask = serde_json::from_str(ask)?;
    let queue = Queue::connect(&QueueConfig::new(ask.redis.as_str(), ask.queue.as_str()))?;
    // The others know nothing of a budget, and without GitHub's answers ours is none at all.
    let unlimited = BudgetSettings { enabled: false, ..BudgetSettings::default() };
    queue.set_budget(&InstallationId::default(), &unlimited).await?;
    let said = match ask.r#do {
        Deed::Enqueue => enqueue(&queue, &ask).await?,
        Deed::Work => work(&queue, &ask).await,
        Deed::Hold => hold(&queue, &ask).await,
        Deed::Pickup => pickup(&queue, &ask).await?,
    };
    output::line(said);
    Ok(())
}

async fn enqueue(queue: &Queue, ask: &Ask) -> anyhow::Result<Value> {
    let (team, next, begun) = (TeamId::new(), Arc::new(AtomicU32::new(0)), Instant::now());
    let mut adding = JoinSet::new();
    for _ in 0..ask.width {
        let (queue, next, jobs) = (queue.clone(), next.clone(), ask.jobs);
        adding.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < jobs {
                queue.enqueue(&[ticket(team)]).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(added) = adding.join_next().await {
        added??;
    }
    Ok(json!({ "count": ask.jobs, "seconds": begun.elapsed().as_secs_f64() }))
}

async fn work(queue: &Queue, ask: &Ask) -> Value {
    let until = Instant::now() + Duration::from_secs_f64(ask.bound);
    let mut told = worker(queue, ask.width, false);
    let (mut count, mut begun) = (0, None);
    while count < ask.jobs
        && let Ok(Some(at)) = timeout_at(until, told.recv()).await
    {
        begun.get_or_insert(at);
        count += 1;
    }
    let seconds = begun.map_or(0.0, |begun: Instant| begun.elapsed().as_secs_f64());
    json!({ "count": count, "seconds": seconds })
}

async fn hold(queue: &Queue, ask: &Ask) -> Value {
    let mut told = worker(queue, ask.width, true);
    let mut nth = 0;
    while told.recv().await.is_some() {
        output::line(json!({ "started": nth }));
        nth += 1;
    }
    Value::Null
}

async fn pickup(queue: &Queue, ask: &Ask) -> anyhow::Result<Value> {
    let until = Instant::now() + Duration::from_secs_f64(ask.bound);
    let (mut told, mut times, team) = (worker(queue, ask.width, false), Vec::new(), TeamId::new());
    for nth in 0..ask.jobs {
        sleep(Duration::from_millis(u64::from(nth) * 137 % 500)).await;
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        queue.enqueue(&[ticket(team)]).await?;
        let at = timeout_at(until, told.recv()).await.ok().flatten().unwrap_or_else(Instant::now);
        times.push(millis(at.saturating_duration_since(begun)));
    }
    Ok(json!({ "times": times }))
}

/// Runs until the process ends.
fn worker(queue: &Queue, width: usize, holds: bool) -> Told {
    let (tell, told) = mpsc::unbounded_channel();
    let (queue, handler) = (queue.clone(), Handler { tell, holds });
    let settings = BackendSettings::new("beside", width);
    let monitor = Monitor::new().register(move |_| {
        WorkerBuilder::new("beside")
            .backend(queue::backend(queue.clone(), settings.clone()))
            .concurrency(width)
            .data(handler.clone())
            .parallelize(tokio::spawn)
            .build(handle)
    });
    tokio::spawn(monitor.run_with_signal(pending()));
    output::line(json!({ "ready": true }));
    told
}

async fn handle(_: Claimed, handler: Data<Handler>) -> Result<Outcome, Infallible> {
    let _ = handler.tell.send(Instant::now());
    if handler.holds { pending().await } else { Ok(Outcome::Done) }
}
