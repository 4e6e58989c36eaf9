//! Implementation of apalis' `Backend` trait for the queue.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use domain::JobId;
use futures::FutureExt;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    AckLayer, Claimed, Dispatcher,
    dispatcher::{self, DispatcherParts},
    inbox::Inbox,
};
use crate::{Claimer, Queue};

/// Settings of one worker.
#[derive(Clone, Debug)]
pub struct BackendSettings {
    /// Maximum number of concurrent jobs. Give the worker builder the same number.
    pub concurrency: usize,
    /// Time until a lease ends unless it is renewed. The worker renews every third of it.
    pub lease: Duration,
    /// Name of the worker's host or process, shown in Redis.
    pub owner: String,
    /// Fires at the first sign of shutdown: claiming stops and unstarted jobs are returned at once. Without it this
    /// happens up to a quarter of a second after apalis is stopped.
    pub stop: CancellationToken,
}

impl BackendSettings {
    /// Returns settings with this concurrency (at least 1), leases of 15 s and a stop token of their own.
    pub fn new(owner: impl Into<String>, concurrency: usize) -> Self {
        Self {
            concurrency: concurrency.max(1),
            lease: Duration::from_secs(15),
            owner: owner.into(),
            stop: CancellationToken::new(),
        }
    }
}

/// Source of jobs for one apalis worker.
pub struct ApalisBackend {
    settings: BackendSettings,
    inbox: Arc<Inbox>,
    layer: AckLayer,
    parts: Option<DispatcherParts>,
    running: Option<JoinHandle<()>>,
    closing: CancellationToken,
    dispatcher: Dispatcher,
}

/// Returns the backend of one worker. It claims nothing before the worker runs.
///
/// ```no_run
/// use apalis::prelude::{Monitor, ParallelizeExt, WorkerBuilder, WorkerBuilderExt};
/// use queue::{BackendSettings, Claimed, Outcome, Queue, QueueConfig};
///
/// async fn run(job: Claimed) -> Result<Outcome, std::io::Error> {
///     tokio::select! {
///         () = job.cancelled.cancelled() => Ok(Outcome::Release),
///         () = async { /* the work */ } => Ok(Outcome::Done),
///     }
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = Queue::connect(&QueueConfig::new("redis://localhost", "rts"))?;
/// let settings = BackendSettings::new("worker-1", 8);
/// let stop = settings.stop.clone();
/// Monitor::new()
///     .register(move |_| {
///         WorkerBuilder::new("lanes")
///             .backend(queue::backend(queue.clone(), settings.clone()))
///             .concurrency(8)
///             .parallelize(tokio::spawn)
///             .build(run)
///     })
///     .run_with_signal(async move {
///         let signal = tokio::signal::ctrl_c().await;
///         stop.cancel();
///         signal
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
pub fn backend(queue: Queue, settings: BackendSettings) -> ApalisBackend {
    let (acks, received_acks) = mpsc::unbounded_channel();
    let inbox = Arc::new(Inbox::default());
    let closing = CancellationToken::new();
    let claimer = Claimer::new(&settings.owner, settings.lease);
    let dispatcher = Dispatcher::new();
    let parts = DispatcherParts {
        queue,
        claimer,
        concurrency: settings.concurrency.max(1),
        stop: settings.stop.clone(),
        closing: closing.clone(),
        inbox: inbox.clone(),
        acks: received_acks,
        dispatcher: dispatcher.clone(),
    };
    let layer = AckLayer { acks };
    ApalisBackend { settings, inbox, layer, parts: Some(parts), running: None, closing, dispatcher }
}

impl ApalisBackend {
    /// Returns a view of the dispatcher for the liveness probe.
    pub fn dispatcher(&self) -> Dispatcher {
        self.dispatcher.clone()
    }
}

impl Backend for ApalisBackend {
    type Task = Task<Claimed>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        if let Some(parts) = self.parts.take() {
            self.running = Some(tokio::spawn(dispatcher::run(parts, worker.clone())));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        let job = ready!(self.inbox.poll_take(cx));
        // A job may be claimed again while an older run of it still ends, so the lease token is part of the task id.
        let id = TaskId::from_string(format!("{}/{}", job.lease.job, job.lease.token.0));
        Poll::Ready(Some(Ok(TaskBuilder::new(job).task_id(id).build())))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.closing.cancel();
        if let Some(running) = &mut self.running {
            // A dispatcher that panicked has nothing to flush; its leases expire.
            let _ = ready!(running.poll_unpin(cx));
            self.running = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for ApalisBackend {
    type Args = Claimed;
    type Id = JobId;
    type Kind = Ephemeral;
    type Config = BackendSettings;
    type Layer = AckLayer;

    fn config(&self) -> &BackendSettings {
        &self.settings
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> AckLayer {
        self.layer.clone()
    }
}

impl Drop for ApalisBackend {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl fmt::Debug for ApalisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApalisBackend").field("settings", &self.settings).finish_non_exhaustive()
    }
}
