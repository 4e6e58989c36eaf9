//! One part of the service on a thread and a runtime of its own, so that it can be killed and frozen like a process.

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
    ice: Arc<FreezeGate>,
    handle: Handle,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// Holds the one thread of a process while it is frozen.
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

    fn hold(&self) {
        let frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.thawed.wait_while(frozen, |frozen| *frozen));
    }
}

impl Process {
    /// Runs `main` on a new single-threaded runtime: everything it makes is made there.
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
            // As at kill -9: nothing that still runs is waited for.
            runtime.shutdown_background();
            ended
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body).unwrap();
        Self { name: name.to_owned(), shutdown, killed, ice: Arc::default(), handle, thread: Some(thread) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As SIGTERM does: it drains and ends. Returns when it has.
    ///
    /// # Panics
    /// When it ended with an error or a panic.
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

    /// As SIGKILL does: it is gone where it stands, without a last word. Returns when it is.
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

    /// As SIGSTOP does: nothing of it moves until [`Self::thaw`]. Returns once it stands still.
    ///
    /// # Panics
    /// When the process has ended.
    pub async fn freeze(&self) {
        self.ice.set(true);
        let (ice, (done, frozen)) = (self.ice.clone(), oneshot::channel());
        self.handle.spawn(async move {
            let _ = done.send(());
            ice.hold();
        });
        frozen.await.expect("a running process");
    }

    /// As SIGCONT does.
    pub fn thaw(&self) {
        self.ice.set(false);
    }

    fn end(&mut self) -> Option<JoinHandle<anyhow::Result<()>>> {
        self.killed.cancel();
        self.ice.set(false);
        self.thread.take()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.end().map(JoinHandle::join));
    }
}
