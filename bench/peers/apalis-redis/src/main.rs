//! apalis-redis as described in `../README.md`: one request as JSON in the first argument, responses as JSON lines.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use apalis::prelude::{BackendExt, BoxDynError, Data, TaskSink, WorkerBuilder, WorkerBuilderExt};
use apalis_redis::{Config, RedisStorage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

#[derive(Clone, Deserialize)]
struct Ask {
    r#do: String,
    redis: String,
    queue: String,
    jobs: u64,
    width: usize,
    bound: f64,
    tuned: bool,
    payload: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Job {
    nth: u64,
    payload: String,
}

/// Message of a handler: the job, and its start time.
type Started = mpsc::UnboundedSender<(u64, Instant)>;
type Answer = Result<(), BoxDynError>;

#[tokio::main]
async fn main() -> Answer {
    let ask: Ask = serde_json::from_str(&std::env::args().nth(1).ok_or("a request, please")?)?;
    match ask.r#do.as_str() {
        "enqueue" => enqueue(ask).await?,
        "work" => work(ask).await?,
        "hold" => hold(ask).await?,
        "pickup" => pickup(ask).await?,
        other => return Err(format!("what is {other}?").into()),
    }
    // The worker does not end by itself here.
    std::process::exit(0)
}

fn say(what: &Value) {
    println!("{what}");
}

async fn storage(ask: &Ask) -> Result<RedisStorage<Job>, BoxDynError> {
    let mut config = Config::default().queue(&ask.queue);
    if ask.tuned {
        config = config.lock_tasks(false).emit_events(false).batch_size(ask.width);
    }
    let connection = apalis_redis::connect(ask.redis.as_str()).await?;
    Ok(RedisStorage::new(connection).with_config(config))
}

/// Starts a worker, whose end ends the process.
async fn worker(ask: &Ask, tell: Started, holds: bool) -> Answer {
    let (storage, width, tuned) = (storage(ask).await?, ask.width, ask.tuned);
    let name = format!("peer-{}", std::process::id());
    tokio::spawn(async move {
        let ended = if tuned {
            let polled = storage.poll_with_interval(Duration::from_millis(10));
            let worker = WorkerBuilder::new(name).backend(polled).concurrency(width).data((tell, holds));
            worker.build(handle).run().await
        } else {
            let worker = WorkerBuilder::new(name).backend(storage).concurrency(width).data((tell, holds));
            worker.build(handle).run().await
        };
        eprintln!("the worker ended: {ended:?}");
        std::process::exit(1);
    });
    say(&json!({ "ready": true }));
    Ok(())
}

async fn handle(job: Job, told: Data<(Started, bool)>) -> Answer {
    let _ = told.0.0.send((job.nth, Instant::now()));
    if told.0.1 { pending().await } else { Ok(()) }
}

async fn enqueue(ask: Ask) -> Answer {
    let (storage, next, begun) = (storage(&ask).await?, Arc::new(AtomicU64::new(0)), Instant::now());
    let adding = (0..ask.width).map(|_| {
        let (mut storage, next, ask) = (storage.clone(), next.clone(), ask.clone());
        tokio::spawn(async move {
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= ask.jobs {
                    return Ok::<_, BoxDynError>(());
                }
                storage.push(Job { nth, payload: ask.payload.clone() }).await?;
            }
        })
    });
    for adding in adding.collect::<Vec<_>>() {
        adding.await??;
    }
    say(&json!({ "count": ask.jobs, "seconds": begun.elapsed().as_secs_f64() }));
    Ok(())
}

async fn work(ask: Ask) -> Answer {
    let (tell, mut told) = mpsc::unbounded_channel();
    worker(&ask, tell, false).await?;
    let (mut count, mut begun) = (0, None);
    let all = async {
        while count < ask.jobs {
            let Some((_, at)) = told.recv().await else { break };
            begun.get_or_insert(at);
            count += 1;
        }
    };
    let _ = timeout(Duration::from_secs_f64(ask.bound), all).await;
    let seconds = begun.map_or(0.0, |begun: Instant| begun.elapsed().as_secs_f64());
    say(&json!({ "count": count, "seconds": seconds }));
    Ok(())
}

async fn hold(ask: Ask) -> Answer {
    let (tell, mut told) = mpsc::unbounded_channel();
    worker(&ask, tell, true).await?;
    while let Some((nth, _)) = told.recv().await {
        say(&json!({ "started": nth }));
    }
    pending().await
}

async fn pickup(ask: Ask) -> Answer {
    let (tell, mut told) = mpsc::unbounded_channel();
    worker(&ask, tell, false).await?;
    let (mut storage, mut times) = (storage(&ask).await?, Vec::new());
    let until = Instant::now() + Duration::from_secs_f64(ask.bound);
    for nth in 0..ask.jobs {
        sleep(Duration::from_millis(nth * 137 % 500)).await;
        let begun = Instant::now();
        let Some(left) = until.checked_duration_since(begun) else { break };
        storage.push(Job { nth, payload: ask.payload.clone() }).await?;
        let at = timeout(left, told.recv()).await.ok().flatten().map_or_else(Instant::now, |(_, at)| at);
        times.push(at.saturating_duration_since(begun).as_secs_f64() * 1e3);
    }
    say(&json!({ "times": times }));
    Ok(())
}
