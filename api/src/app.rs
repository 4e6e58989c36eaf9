//! What every handler can reach.

use std::{ops::Deref, sync::Arc};

use chrono::TimeDelta;
use domain::{KeyRing, Secret};
use queue::{Announcements, Spine};
use runtime::{config::ServerConfig, health::Progress, telemetry::Metrics};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::{limit::Limiter, oidc::Verifier, routes::webhooks::Alarm};

/// Everything the API is made of, put together by the process that runs it.
#[derive(Debug)]
pub struct Parts {
    /// The truth.
    pub store: Store,
    /// The way to the workers.
    pub spine: Spine,
    /// News of jobs.
    pub announcements: Announcements,
    /// Reads tokens.
    pub verifier: Verifier,
    /// Opens sealed configs.
    pub keys: KeyRing,
    /// Where it listens and what it grants.
    pub server: ServerConfig,
    /// Runner group of requests that name none.
    pub default_group: i64,
    /// The secret GitHub signs its webhooks with; without it they are refused.
    pub webhook_secret: Option<Secret>,
    /// Issuer for machine clients registered without one.
    pub default_issuer: String,
    /// Longest life of a config that nobody fetched.
    pub config_life: TimeDelta,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Whether the process's loops still move.
    pub progress: Progress,
    /// Cancelled when the process begins to stop: waiting requests answer at once.
    pub draining: CancellationToken,
}

/// The parts and what the API adds to them; cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    parts: Parts,
    pub(crate) limiter: Limiter,
    alarm: Alarm,
}

impl App {
    /// Takes the parts over.
    pub fn new(parts: Parts) -> Self {
        let limiter = Limiter::new(&parts.server);
        Self(Arc::new(Inner { parts, limiter, alarm: Alarm::new() }))
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    pub(crate) fn alarm(&self) -> &Alarm {
        &self.0.alarm
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
