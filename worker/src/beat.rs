//! Signs of life: to the process's own liveness probe, and to whoever looks at the fleet.

use std::time::Duration;

use queue::Dispatcher;
use runtime::health::Progress;
use store::StoreError;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Longest silence of a worker's dispatcher before the process counts as stuck.
const MAX_SILENCE: Duration = Duration::from_mins(1);
/// How often a worker says in the database that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Passes the dispatcher's pulse on to the liveness probe.
pub(crate) async fn pulse(dispatcher: Dispatcher, progress: Progress, stop: CancellationToken) {
    let beat = progress.register("worker_dispatcher", MAX_SILENCE);
    let mut last = dispatcher.last_progress();
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => {}
        }
        let now = dispatcher.last_progress();
        if now != last {
            last = now;
            beat.tick();
        }
    }
    beat.retire();
}

/// Writes the worker's row until it stops, then takes it away. A beat that fails is left to the next.
pub(crate) async fn heart(app: App, dispatcher: Dispatcher, stop: CancellationToken) {
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        note(timeout(HEARTBEAT, beat(&app, dispatcher.in_flight())).await);
    }
    note(timeout(HEARTBEAT, leave(&app)).await);
}

async fn beat(app: &App, running: usize) -> Result<(), StoreError> {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let (concurrency, running) = (count(app.concurrency), count(running));
    app.store.read().await?.workers().beat(&app.name, env!("CARGO_PKG_VERSION"), concurrency, running).await
}

async fn leave(app: &App) -> Result<(), StoreError> {
    app.store.read().await?.workers().leave(&app.name).await
}

fn note(outcome: Result<Result<(), StoreError>, tokio::time::error::Elapsed>) {
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a heartbeat was not written"),
        Err(_) => tracing::debug!("a heartbeat took too long"),
    }
}
