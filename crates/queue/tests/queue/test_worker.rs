//! A real apalis worker in a task, with the handlers the tests give it.

use std::sync::{Arc, Mutex};

use apalis::prelude::{Monitor, ParallelizeExt, WorkerBuilder, WorkerBuilderExt};
use domain::JobId;
use futures::future::BoxFuture;
use queue::{BackendSettings, Claimed, Dispatcher, Outcome, Queue};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) type Answer = Result<Outcome, std::io::Error>;
pub(crate) type Handler = Arc<dyn Fn(Claimed) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A worker in a task, as a process would run it.
pub(crate) struct Worker {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    pub(crate) dispatcher: Dispatcher,
}

impl Worker {
    pub(crate) fn start(queue: &Queue, settings: BackendSettings, handler: Handler) -> Self {
        let stop = settings.stop.clone();
        let stopped = stop.clone();
        let seen = Arc::new(Mutex::new(None));
        let (queue, saw) = (queue.clone(), seen.clone());
        let monitor = Monitor::new().register(move |_| {
            let backend = queue::backend(queue.clone(), settings.clone());
            *saw.lock().unwrap() = Some(backend.dispatcher());
            let handler = handler.clone();
            WorkerBuilder::new("test")
                .backend(backend)
                .concurrency(settings.concurrency)
                .parallelize(tokio::spawn)
                .build(move |job: Claimed| handler(job))
        });
        let signal = async move {
            stopped.cancelled().await;
            Ok(())
        };
        let task = tokio::spawn(async move { monitor.run_with_signal(signal).await.unwrap() });
        let dispatcher = seen.lock().unwrap().clone().unwrap();
        Self { stop, task, dispatcher }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }
}

pub(crate) fn settings(concurrency: usize) -> BackendSettings {
    BackendSettings::new("test", concurrency)
}

pub(crate) fn handler<F, Fut>(run: F) -> Handler
where
    F: Fn(Claimed) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    Arc::new(move |job| Box::pin(run(job)))
}

/// Returns a handler that reports and finishes each job, and the reports.
pub(crate) fn reporter() -> (Handler, mpsc::UnboundedReceiver<JobId>) {
    let (sender, reports) = mpsc::unbounded_channel();
    let run = handler(move |job: Claimed| {
        let _ = sender.send(job.lease.job);
        async { Ok(Outcome::Done) }
    });
    (run, reports)
}

/// Waits until the queue holds none of these jobs any more.
pub(crate) async fn gone(queue: &Queue, jobs: &[JobId]) {
    while queue.unknown(jobs).await.map_or(0, |unknown| unknown.len()) < jobs.len() {
        tokio::task::yield_now().await;
    }
}
