//! Our own queue as a contender: the queue, and an apalis worker whose handler does nothing.

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

use super::{PeerRequest, PeerTask};
use crate::{http_load::millis, output, tickets::provision_ticket};

/// Receiver of the times at which handlers start.
type StartReceiver = mpsc::UnboundedReceiver<Instant>;

/// State of the handlers.
#[derive(Clone)]
struct HandlerState {
    starts: mpsc::UnboundedSender<Instant>,
    /// Whether a handler never ends.
    holds: bool,
}

/// Runs a request and prints its result.
pub(crate) async fn run_own_queue(request: &str) -> anyhow::Result<()> {
    let request: PeerRequest = serde_json::from_str(request)?;
    let queue = Queue::connect(&QueueConfig::new(request.redis.as_str(), request.queue.as_str()))?;
    // The other queues have no budget.
    let unlimited = BudgetSettings { enabled: false, ..BudgetSettings::default() };
    queue.set_budget(&InstallationId::default(), &unlimited).await?;
    let result = match request.task {
        PeerTask::Enqueue => enqueue(&queue, &request).await?,
        PeerTask::Work => work(&queue, &request).await,
        PeerTask::Hold => hold(&queue, &request).await,
        PeerTask::Pickup => pickup(&queue, &request).await?,
    };
    output::print_result(result);
    Ok(())
}

async fn enqueue(queue: &Queue, request: &PeerRequest) -> anyhow::Result<Value> {
    let (team, next, begun) = (TeamId::new(), Arc::new(AtomicU32::new(0)), Instant::now());
    let mut adding = JoinSet::new();
    for _ in 0..request.width {
        let (queue, next, jobs) = (queue.clone(), next.clone(), request.jobs);
        adding.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < jobs {
                queue.enqueue(&[provision_ticket(team)]).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(added) = adding.join_next().await {
        added??;
    }
    Ok(json!({ "count": request.jobs, "seconds": begun.elapsed().as_secs_f64() }))
}

async fn work(queue: &Queue, request: &PeerRequest) -> Value {
    let until = Instant::now() + Duration::from_secs_f64(request.bound);
    let mut starts = start_worker(queue, request.width, false);
    let (mut count, mut begun) = (0, None);
    while count < request.jobs
        && let Ok(Some(at)) = timeout_at(until, starts.recv()).await
    {
        begun.get_or_insert(at);
        count += 1;
    }
    let seconds = begun.map_or(0.0, |begun: Instant| begun.elapsed().as_secs_f64());
    json!({ "count": count, "seconds": seconds })
}

async fn hold(queue: &Queue, request: &PeerRequest) -> Value {
    let mut starts = start_worker(queue, request.width, true);
    let mut nth = 0;
    while starts.recv().await.is_some() {
        output::print_result(json!({ "started": nth }));
        nth += 1;
    }
    Value::Null
}

async fn pickup(queue: &Queue, request: &PeerRequest) -> anyhow::Result<Value> {
    let until = Instant::now() + Duration::from_secs_f64(request.bound);
    let (mut starts, mut times, team) =
        (start_worker(queue, request.width, false), Vec::new(), TeamId::new());
    for nth in 0..request.jobs {
        sleep(Duration::from_millis(u64::from(nth) * 137 % 500)).await;
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        queue.enqueue(&[provision_ticket(team)]).await?;
        let at = timeout_at(until, starts.recv()).await.ok().flatten().unwrap_or_else(Instant::now);
        times.push(millis(at.saturating_duration_since(begun)));
    }
    Ok(json!({ "times": times }))
}

/// Starts a worker that runs until the process ends, and prints that it is ready.
fn start_worker(queue: &Queue, width: usize, holds: bool) -> StartReceiver {
    let (starts, receiver) = mpsc::unbounded_channel();
    let (queue, handler) = (queue.clone(), HandlerState { starts, holds });
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
    output::print_result(json!({ "ready": true }));
    receiver
}

async fn handle(_: Claimed, handler: Data<HandlerState>) -> Result<Outcome, Infallible> {
    let _ = handler.starts.send(Instant::now());
    if handler.holds { pending().await } else { Ok(Outcome::Done) }
}
