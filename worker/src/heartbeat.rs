//! Signs of life of a worker: for the liveness probe of its process, and for the list of workers that admins see.

use std::time::Duration;

use domain::Lane;
use queue::Dispatcher;
use runtime::health::LoopMonitor;
use store::{Heartbeat, StoreError};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Longest silence of one of a worker's loops before the process counts as stuck.
const MAX_SILENCE: Duration = Duration::from_mins(1);
/// Interval at which a worker updates its row in the database.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Reports the progress of the queue's loops to the liveness probe until `stop`.
pub(crate) async fn watch_loops(dispatcher: Dispatcher, progress: LoopMonitor, stop: CancellationToken) {
    let mut seen = dispatcher.loops().map(|(name, last)| (progress.register(name, MAX_SILENCE), last));
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => {}
        }
        for ((handle, last), (_, now)) in seen.iter_mut().zip(dispatcher.loops()) {
            if *last != now {
                *last = now;
                handle.tick();
            }
        }
    }
    for (handle, _) in seen {
        handle.retire();
    }
}

/// Tokens that end the parts of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// The process ends.
    pub(crate) process: CancellationToken,
    /// The worker claims no more jobs, because the process ends or an admin drains the worker.
    pub(crate) claims: CancellationToken,
}

/// Updates the worker's row until the process ends, then removes it. The next heartbeat makes up for a failed one. The
/// row also says whether an admin drains the worker.
pub(crate) async fn run_heartbeat(app: App, dispatcher: Dispatcher, stop: Stop) {
    let handle = app.progress.register("worker_heartbeat", MAX_SILENCE);
    let mut ticks = interval(HEARTBEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let row = Row::new(&app);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.process.cancelled() => break,
        }
        let written = timeout(HEARTBEAT_INTERVAL, row.write(&app, dispatcher.in_flight())).await;
        if matches!(written, Ok(Ok(true))) && !stop.claims.is_cancelled() {
            stop.claims.cancel();
            tracing::info!(name = %app.name, "an admin drains this worker; it ends its jobs and takes no more");
        }
        log_failure(written.map(|written| written.map(drop)));
        handle.tick();
    }
    handle.retire();
    log_failure(timeout(HEARTBEAT_INTERVAL, remove_row(&app)).await);
}

/// Parts of the worker's row that do not change.
struct Row {
    host: Option<String>,
    lanes: Vec<String>,
    installations: Vec<String>,
}

impl Row {
    fn new(app: &App) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let mut installations: Vec<String> = app.installations.pools().map(ToString::to_string).collect();
        installations.sort();
        Self { host, lanes: Lane::ALL.iter().map(Lane::to_string).collect(), installations }
    }

    /// Writes the row. Returns whether an admin drains the worker.
    async fn write(&self, app: &App, running: usize) -> Result<bool, StoreError> {
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let beat = Heartbeat {
            name: &app.name,
            version: env!("CARGO_PKG_VERSION"),
            host: self.host.as_deref(),
            concurrency: count(app.concurrency),
            running: count(running),
            lanes: &self.lanes,
            installations: &self.installations,
        };
        app.store.conn().await?.workers().record_heartbeat(&beat).await
    }
}

async fn remove_row(app: &App) -> Result<(), StoreError> {
    app.store.conn().await?.workers().remove(&app.name).await
}

fn log_failure(outcome: Result<Result<(), StoreError>, tokio::time::error::Elapsed>) {
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a heartbeat could not be written"),
        Err(_) => tracing::debug!("a heartbeat took too long"),
    }
}

#[cfg(test)]
mod tests {
    use queue::{BackendSettings, Queue, QueueConfig};

    use super::*;

    async fn pass(seconds: u64) {
        for _ in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn worker_with_stalled_loops_is_not_alive() {
        let queue = Queue::connect(&QueueConfig::new("redis://localhost", "nowhere")).unwrap();
        let stopped = queue::backend(queue, BackendSettings::new("test", 1));
        let (progress, stop) = (LoopMonitor::new(), CancellationToken::new());
        let watching = tokio::spawn(watch_loops(stopped.dispatcher(), progress.clone(), stop.clone()));
        pass(30).await;
        assert!(progress.alive() && progress.names().len() == 3);
        pass(60).await;
        let silent: Vec<_> = progress.stalled().iter().map(|silent| silent.name).collect();
        assert_eq!(silent, ["worker_bell", "worker_dispatcher", "worker_renewer"]);
        stop.cancel();
        watching.await.unwrap();
        assert!(progress.alive(), "a stopping worker is not checked for stalled loops");
    }
}
