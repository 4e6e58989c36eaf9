//! What every job can reach.

use std::{ops::Deref, sync::Arc, time::Duration};

use chrono::TimeDelta;
use domain::{DriftRules, KeyRing};
use fleet::Fleet;
use queue::Spine;
use runtime::health::Progress;
use store::Store;
use tokio_util::sync::CancellationToken;

/// Everything a worker is made of, put together by the process that runs it.
#[derive(Debug)]
pub struct Parts {
    /// The truth.
    pub store: Store,
    /// Where jobs come from.
    pub spine: Spine,
    /// The clients of every installation.
    pub fleet: Fleet,
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
    /// The worker's name, for rows and logs.
    pub name: String,
    /// Whether the process's loops still move.
    pub progress: Progress,
}

/// The parts, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    parts: Parts,
    /// Cancelled when draining took too long: what runs is given back.
    pub(crate) forced: CancellationToken,
}

impl App {
    pub(crate) fn new(parts: Parts, forced: CancellationToken) -> Self {
        Self(Arc::new(Inner { parts, forced }))
    }

    pub(crate) fn forced(&self) -> &CancellationToken {
        &self.0.forced
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
