//! Parts that every job can use.

use std::{ops::Deref, sync::Arc, time::Duration};

use chrono::TimeDelta;
use domain::{DriftRules, KeyRing};
use installations::Installations;
use queue::Queue;
use runtime::health::LoopMonitor;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::jobs::Confirmations;

/// Parts of a worker, put together by the process that runs it.
#[derive(Debug)]
pub struct Parts {
    /// The database, the source of truth.
    pub store: Store,
    /// The queue that jobs are claimed from.
    pub queue: Queue,
    /// GitHub clients of all installations.
    pub installations: Installations,
    /// Keys that seal configs.
    pub keys: KeyRing,
    /// Lifetime of a config that was not handed out.
    pub config_life: TimeDelta,
    /// Rules for drift.
    pub drift: DriftRules,
    /// Number of jobs that run at the same time.
    pub concurrency: usize,
    /// Duration of a lease without renewal.
    pub lease: Duration,
    /// Time limits for the steps of a job.
    pub timeouts: StepTimeouts,
    /// Name of the worker in rows and logs.
    pub name: String,
    /// Progress of the process's loops.
    pub progress: LoopMonitor,
}

/// Time limits that end a stuck step. A host that vanishes closes no connection; without a limit its job would keep its
/// slot, because the lease is renewed while the handler runs.
#[derive(Clone, Copy, Debug)]
pub struct StepTimeouts {
    /// Limit for writing a job's start or result; longer than the database's statement time-out.
    pub database: Duration,
    /// Limit for the work in between: name lookups and three attempts at GitHub.
    pub job: Duration,
}

impl Default for StepTimeouts {
    fn default() -> Self {
        Self { database: Duration::from_secs(15), job: Duration::from_mins(2) }
    }
}

/// Shared parts, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    parts: Parts,
    /// Cancelled when draining took too long: running jobs are given back.
    pub(crate) forced: CancellationToken,
    confirmations: Confirmations,
}

impl App {
    pub(crate) fn new(parts: Parts, forced: CancellationToken) -> Self {
        Self(Arc::new(Inner { parts, forced, confirmations: Confirmations::default() }))
    }

    pub(crate) fn forced(&self) -> &CancellationToken {
        &self.0.forced
    }

    pub(crate) fn confirmations(&self) -> &Confirmations {
        &self.0.confirmations
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
