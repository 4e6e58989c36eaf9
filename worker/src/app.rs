//! What every job can reach.

use std::{ops::Deref, sync::Arc, time::Duration};

use chrono::TimeDelta;
use domain::{DriftRules, KeyRing};
use installations::Installations;
use queue::Queue;
use runtime::health::LoopMonitor;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::jobs::Confirmations;

/// Everything a worker is made of, put together by the process that runs it.
#[derive(Debug)]
pub struct Parts {
    /// The truth.
    pub store: Store,
    /// Where jobs come from.
    pub queue: Queue,
    /// The clients of every installation.
    pub installations: Installations,
    /// Seals configs.
    pub keys: KeyRing,
    /// Longest life of a config that nobody fetched.
    pub config_life: TimeDelta,
    /// What may be done about drift.
    pub drift: DriftRules,
    /// Jobs at once.
    pub concurrency: usize,
    /// How long a claim lasts when it is not renewed.
    pub lease: Duration,
    /// How long a step of a job may take.
    pub timeouts: StepTimeouts,
    /// The worker's name, for rows and logs.
    pub name: String,
    /// Whether the process's loops still move.
    pub progress: LoopMonitor,
}

/// What ends a step that would never end: a host that vanishes closes no connection, and its silence must not keep a
/// slot, whose lease is renewed as long as the handler runs.
#[derive(Clone, Copy, Debug)]
pub struct StepTimeouts {
    /// For writing a job's start or its result; longer than the database lets any statement take.
    pub database: Duration,
    /// For what is between: three tries at GitHub, and looking names up before them.
    pub job: Duration,
}

impl Default for StepTimeouts {
    fn default() -> Self {
        Self { database: Duration::from_secs(15), job: Duration::from_mins(2) }
    }
}

/// The parts, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    parts: Parts,
    /// Cancelled when draining took too long: what runs is given back.
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
