//! A part of the service on its own thread and runtime, so that a test can kill and freeze it like a process.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use runtime::shutdown::Shutdown;
use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::sync::CancellationToken;

/// One running part. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    shutdown: Shutdown,
    killed: CancellationToken,
    freeze_gate: Arc<FreezeGate>,
    handle: Handle,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// Blocks the only thread of a process while it is frozen.
#[derive(Debug, Default)]
struct FreezeGate {
    frozen: Mutex<bool>,
    thawed: Condvar,
}

impl FreezeGate {
    fn set(&self, frozen: bool) {
        *self.frozen.lock().unwrap_or_else(PoisonError::into_inner) = frozen;
        self.thawed.notify_all();
    }

    fn wait_while_frozen(&self) {
        let frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.thawed.wait_while(frozen, |frozen| *frozen));
    }
}

impl Process {
    /// Runs `main` on a new single-threaded runtime, where everything it creates belongs.
    ///
    /// # Panics
    /// When the system has no thread left.
    pub fn start<F, Fut>(name: &str, main: F) -> Self
    where
        F: FnOnce(Shutdown) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (shutdown, killed) = (Shutdown::new(), CancellationToken::new());
        let (told, kill) = (shutdown.clone(), killed.clone());
        let body = move || {
            let ended = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = kill.cancelled() => Ok(()),
                    ended = main(told) => ended,
                }
            });
            // Like SIGKILL: unfinished tasks are not awaited.
            runtime.shutdown_background();
            ended
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body).unwrap();
        Self {
            name: name.to_owned(),
            shutdown,
            killed,
            freeze_gate: Arc::default(),
            handle,
            thread: Some(thread),
        }
    }

    /// Returns the name of the process.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shuts down gracefully, as SIGTERM does, and returns when the process has ended.
    ///
    /// # Panics
    /// When the process ended with an error or a panic.
    pub async fn stop(mut self) {
        self.shutdown.begin();
        let thread = self.thread.take().unwrap();
        let (done, ended) = oneshot::channel();
        thread::spawn(move || done.send(thread.join()));
        match ended.await.unwrap() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("{} ended with {error:#}", self.name),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Stops at once without cleaning up, as SIGKILL does, and returns when the process has ended.
    ///
    /// # Panics
    /// Never in practice.
    pub async fn kill(mut self) {
        let thread = self.end();
        let (done, ended) = oneshot::channel();
        thread::spawn(move || {
            drop(thread.map(JoinHandle::join));
            let _ = done.send(());
        });
        ended.await.unwrap();
    }

    /// Suspends all work until [`Self::thaw`], as SIGSTOP does. Returns once the process is suspended.
    ///
    /// # Panics
    /// When the process has ended.
    pub async fn freeze(&self) {
        self.freeze_gate.set(true);
        let (freeze_gate, (done, frozen)) = (self.freeze_gate.clone(), oneshot::channel());
        self.handle.spawn(async move {
            let _ = done.send(());
            freeze_gate.wait_while_frozen();
        });
        frozen.await.expect("a running process");
    }

    /// Resumes the process, as SIGCONT does.
    pub fn thaw(&self) {
        self.freeze_gate.set(false);
    }

    fn end(&mut self) -> Option<JoinHandle<anyhow::Result<()>>> {
        self.killed.cancel();
        self.freeze_gate.set(false);
        self.thread.take()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.end().map(JoinHandle::join));
    }
}
