//! How a process ends: first it drains, then it is over.
//!
//! The first SIGTERM or SIGINT begins draining: nothing new is claimed or accepted, what runs may finish. The
//! second signal, or the end of the grace time, forces: every task of the group is dropped where it waits.

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

/// How long draining may take.
pub const GRACE: Duration = Duration::from_secs(25);

/// How long a dropped task may take to go after force; only one that blocks its thread takes longer.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The two steps, shared by the whole process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    forced: CancellationToken,
}

impl Shutdown {
    /// Neither step taken.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when draining begins: claim and accept nothing more.
    pub const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled when time is up: release and go.
    pub const fn forced(&self) -> &CancellationToken {
        &self.forced
    }

    /// Begins draining; a second call forces, as a second signal does.
    pub fn step(&self) {
        if self.draining.is_cancelled() {
            self.forced.cancel();
        }
        self.draining.cancel();
    }

    /// Begins draining, and no more.
    pub fn begin(&self) {
        self.draining.cancel();
    }

    /// Takes both steps.
    pub fn force(&self) {
        self.draining.cancel();
        self.forced.cancel();
    }

    /// Listens for SIGTERM and SIGINT for the rest of the process's life and enforces the grace time. Must be
    /// called within a tokio runtime.
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

    /// Forces `grace` after draining has begun, whoever began it.
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

/// The named tasks of one process. Cheap to clone.
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
        // A poisoned lock holds only names: they are as good as before.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the name off the list however the task ends.
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
    /// An empty group that ends with `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, tracker: TaskTracker::new(), running: Arc::default() }
    }

    /// The shutdown this group obeys.
    pub const fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs `task` until it ends, or drops it when shutdown is forced. A panic is logged and begins draining:
    /// a process that lost a part of itself should be replaced.
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

    /// Runs a loop for ever: see [`supervise`].
    pub fn supervise<M, F, E>(&self, name: &'static str, backoff: Backoff, make: M)
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let draining = self.shutdown.draining.clone();
        self.spawn(name, async move { supervise(name, backoff, &draining, make).await });
    }

    /// The names of the tasks that still run, sorted.
    pub fn running(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.running.names().values().copied().collect();
        names.sort_unstable();
        names
    }

    /// Waits until draining has begun and every task has ended, or until force has dropped them. Returns the
    /// names of tasks that would not go (they block their thread); empty is a clean end.
    pub async fn wait(&self) -> Vec<&'static str> {
        self.shutdown.draining.cancelled().await;
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => {}
            () = self.shutdown.forced.cancelled() => {
                let _ = timeout(LAST_WAIT, self.tracker.wait()).await;
            }
        }
        self.running()
    }
}

/// Pauses between restarts: `first`, doubled each time up to `most`; back to `first` after a run longer than `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(10) }
    }
}

/// Runs `make()` again and again until draining: whether it returned, failed or panicked, it is started anew
/// after a pause. The loop itself watches `draining` and returns in its own time; it is not cut short here.
/// Restarts count in `rts_task_restarts_total{task}`.
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
        // The factory may panic as well as the loop it makes.
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
        tracing::error!(task = name, error, pause_ms = pause.as_millis(), "loop ended; it starts again");
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
