//! Shutdown of a process in two steps, draining and force, and the supervision of its tasks.
//!
//! The first SIGTERM or SIGINT starts draining: nothing new is claimed or accepted, running work may finish. A second
//! signal or the end of the grace time forces the end: every task of the group is dropped.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Maximum duration of draining.
pub const GRACE: Duration = Duration::from_secs(25);

/// Time for a dropped task to end after force; only a task that blocks its thread needs longer.
const FORCED_END_TIMEOUT: Duration = Duration::from_secs(2);

/// State of the two steps, shared by the whole process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    forced: CancellationToken,
}

impl Shutdown {
    /// Returns a shutdown with neither step taken.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the token that is cancelled when draining starts: no more claims or accepted requests.
    pub const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Returns the token that is cancelled when the grace time ends: release and stop.
    pub const fn forced(&self) -> &CancellationToken {
        &self.forced
    }

    /// Starts draining; a second call forces the end, as a second signal does.
    pub fn step(&self) {
        if self.draining.is_cancelled() {
            self.forced.cancel();
        }
        self.draining.cancel();
    }

    /// Starts draining; further calls have no effect.
    pub fn begin(&self) {
        self.draining.cancel();
    }

    /// Takes both steps.
    pub fn force(&self) {
        self.draining.cancel();
        self.forced.cancel();
    }

    /// Listens for SIGTERM and SIGINT for the rest of the process's life and enforces the grace time. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn listen(&self) -> std::io::Result<()> {
        let mut signals = Signals::install()?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            while !shutdown.forced.is_cancelled() {
                tokio::select! {
                    name = signals.next() => {
                        tracing::info!(signal = name, "shutting down");
                        shutdown.step();
                    }
                    () = shutdown.forced.cancelled() => {}
                }
            }
        });
        self.limit_grace(GRACE);
        Ok(())
    }

    /// Forces the end `grace` after draining started, for any reason.
    pub fn limit_grace(&self, grace: Duration) {
        let shutdown = self.clone();
        tokio::spawn(async move {
            shutdown.draining.cancelled().await;
            tokio::select! {
                () = sleep(grace) => {
                    tracing::warn!(seconds = grace.as_secs(), "draining took too long");
                    shutdown.force();
                }
                () = shutdown.forced.cancelled() => {}
            }
        });
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        let _ = tokio::signal::ctrl_c().await;
        "ctrl-c"
    }
}

/// The named tasks of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TaskGroup {
    shutdown: Shutdown,
    tracker: TaskTracker,
    running: Arc<Running>,
}

#[derive(Debug, Default)]
struct Running {
    next: AtomicU64,
    names: Mutex<BTreeMap<u64, &'static str>>,
}

impl Running {
    fn names(&self) -> MutexGuard<'_, BTreeMap<u64, &'static str>> {
        // A poisoned lock is usable: it guards only names.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guard that removes the name of a task from the list when the task ends or is dropped.
struct Listed {
    id: u64,
    running: Arc<Running>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.running.names().remove(&self.id);
    }
}

impl TaskGroup {
    /// Returns an empty group that ends with `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, tracker: TaskTracker::new(), running: Arc::default() }
    }

    /// Returns the shutdown that ends this group.
    pub const fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs `task` until it ends, or drops it when the end is forced. A panic is logged and starts draining: a process
    /// that lost one of its tasks should be replaced.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.running.next.fetch_add(1, Ordering::Relaxed);
        self.running.names().insert(id, name);
        let listed = Listed { id, running: self.running.clone() };
        let shutdown = self.shutdown.clone();
        self.tracker.spawn(async move {
            let _listed = listed;
            tokio::select! {
                ended = AssertUnwindSafe(task).catch_unwind() => if let Err(panic) = ended {
                    tracing::error!(task = name, panic = reason(panic.as_ref()), "task panicked");
                    shutdown.begin();
                },
                () = shutdown.forced.cancelled() => tracing::warn!(task = name, "task dropped"),
            }
        });
    }

    /// Runs a supervised loop: see [`supervise`].
    pub fn supervise<M, F, E>(&self, name: &'static str, backoff: Backoff, make: M)
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let draining = self.shutdown.draining.clone();
        self.spawn(name, async move { supervise(name, backoff, &draining, make).await });
    }

    /// Returns the sorted names of the running tasks.
    pub fn running(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.running.names().values().copied().collect();
        names.sort_unstable();
        names
    }

    /// Waits until draining has started and every task has ended or was dropped by force. Returns the names of tasks
    /// that did not end, because they block their thread; an empty list means a clean end.
    pub async fn wait(&self) -> Vec<&'static str> {
        self.shutdown.draining.cancelled().await;
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => {}
            () = self.shutdown.forced.cancelled() => {
                let _ = timeout(FORCED_END_TIMEOUT, self.tracker.wait()).await;
            }
        }
        self.running()
    }
}

/// Pauses between restarts: `first`, doubled each time up to `most`, and `first` again after a run longer than `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// First pause.
    pub first: Duration,
    /// Longest pause.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(10) }
    }
}

/// Runs `make()` repeatedly until draining. A loop that returned, failed or panicked is restarted after a pause.
///
/// The loop itself watches `draining` and returns in its own time. Restarts are counted in
/// `rts_task_restarts_total{task}`.
pub async fn supervise<M, F, E>(
    name: &'static str,
    backoff: Backoff,
    draining: &CancellationToken,
    mut make: M,
) where
    M: FnMut() -> F,
    F: Future<Output = Result<(), E>>,
    E: fmt::Display,
{
    let mut pause = backoff.first;
    while !draining.is_cancelled() {
        let started = Instant::now();
        // `make` itself may panic too, not only the loop it returns.
        let attempt = AssertUnwindSafe(async { make().await }).catch_unwind().await;
        if draining.is_cancelled() {
            return;
        }
        if started.elapsed() > backoff.most {
            pause = backoff.first;
        }
        let error = match attempt {
            Ok(Ok(())) => "it returned".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("it panicked: {}", reason(panic.as_ref())),
        };
        tracing::error!(task = name, error, pause_ms = pause.as_millis(), "loop ended and will be restarted");
        metrics::counter!("rts_task_restarts_total", "task" => name).increment(1);
        tokio::select! {
            () = sleep(pause) => {}
            () = draining.cancelled() => return,
        }
        pause = (pause * 2).min(backoff.most);
    }
}

fn reason(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text")
}

#[cfg(test)]
mod tests;
