//! What every handler can reach.

use std::{collections::BTreeMap, ops::Deref, sync::Arc, time::Duration};

use chrono::TimeDelta;
use domain::{InstallationId, KeyRing, Requester, TeamId};
use oidc::Verifier;
use operations::{Bounds, Operations, ProvisionRules, Turns};
use queue::{Announcements, Queue};
use runtime::{
    config::{ServerConfig, WebhookSecret},
    health::LoopMonitor,
    telemetry::Metrics,
};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::{
    limit::Limiter, lists, refusal_log::RefusalLog, signature_alarm::SignatureAlarm, strangers::Strangers,
    waiting::Waits, webhook_intake::Intake,
};

/// Requests for runners one team has under way in the database.
const ACCEPT_BOUNDS: Bounds = Bounds { running: 2, waiting: 1000, patience: Duration::from_secs(5) };

/// Everything the API is made of, put together by the process that runs it.
#[derive(Debug)]
pub struct Dependencies {
    /// The truth.
    pub store: Store,
    /// The way to the workers.
    pub queue: Queue,
    /// News of jobs.
    pub announcements: Announcements,
    /// Reads tokens.
    pub verifier: Verifier,
    /// Opens sealed configs.
    pub keys: KeyRing,
    /// Where it listens and what it grants.
    pub server: ServerConfig,
    /// Every installation configured, with the runner group of requests that name none.
    pub installations: BTreeMap<InstallationId, i64>,
    /// The pages on the web that runners register themselves with, of every installation.
    pub web_urls: BTreeMap<InstallationId, String>,
    /// Whether registration tokens are handed out at all.
    pub registration_tokens: bool,
    /// What GitHub signs its webhooks with; without any they are refused.
    pub webhook_secrets: Vec<WebhookSecret>,
    /// Issuer for machine clients registered without one.
    pub default_issuer: String,
    /// Longest life of a config that nobody fetched.
    pub config_life: TimeDelta,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Whether the process's loops still move.
    pub progress: LoopMonitor,
    /// Cancelled when the process begins to stop: waiting requests answer at once.
    pub draining: CancellationToken,
}

/// The parts and what the API adds to them; cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    parts: Dependencies,
    pub(crate) limiter: Limiter,
    strangers: Strangers,
    waits: Waits,
    list_turns: Turns<Requester>,
    accept_turns: Turns<TeamId>,
    alarm: SignatureAlarm,
    refusals: RefusalLog,
    intake: Intake,
}

impl AppState {
    /// Takes the parts over.
    pub fn new(parts: Dependencies) -> Self {
        let limiter = Limiter::new(&parts.server);
        let strangers = Strangers::new(&parts.server.guards);
        let waits = Waits::new(parts.server.guards.waits_per_caller);
        Self(Arc::new(Inner {
            parts,
            limiter,
            strangers,
            waits,
            list_turns: Turns::new(lists::BOUNDS),
            accept_turns: Turns::new(ACCEPT_BOUNDS),
            alarm: SignatureAlarm::new(),
            refusals: RefusalLog::default(),
            intake: Intake::default(),
        }))
    }

    /// What requests for runners are held against.
    pub(crate) fn provision_rules(&self) -> ProvisionRules<'_> {
        ProvisionRules {
            default_groups: &self.installations,
            registration_tokens: self.registration_tokens,
            turns: &self.0.accept_turns,
        }
    }

    /// The operations, with a bound on refusals.
    pub(crate) fn operations(&self) -> Operations<'_> {
        Operations::new(&self.store, &self.queue).limited_by(&self.0.limiter)
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    pub(crate) fn refusals(&self) -> &RefusalLog {
        &self.0.refusals
    }

    pub(crate) fn strangers(&self) -> &Strangers {
        &self.0.strangers
    }

    pub(crate) fn waits(&self) -> &Waits {
        &self.0.waits
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.0.intake
    }

    /// The lists each caller has under way.
    pub(crate) fn list_turns(&self) -> &Turns<Requester> {
        &self.0.list_turns
    }

    /// Forgets what nobody has under way any more.
    pub(crate) fn forget_idle(&self) {
        self.limiter().forget_idle();
        self.list_turns().forget_idle();
        self.0.accept_turns.forget_idle();
    }

    pub(crate) fn alarm(&self) -> &SignatureAlarm {
        &self.0.alarm
    }
}

impl Deref for AppState {
    type Target = Dependencies;
    fn deref(&self) -> &Dependencies {
        &self.0.parts
    }
}
