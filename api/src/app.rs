//! Shared state of all handlers.

use std::{collections::BTreeMap, num::NonZeroU32, ops::Deref, sync::Arc, time::Duration};

use chrono::TimeDelta;
use domain::{AuditEntry, InstallationId, KeyRing, SecurityEvent, TeamId};
use governor::Quota;
use oidc::{CodeFlow, Verifier};
use operations::{Operations, ProvisionRules, RefusalLog, Refused, TurnLimits, Turns};
use queue::{Announcements, Queue};
use runtime::{
    config::{EffectiveSetting, ServerConfig, WebhookSecret},
    health::LoopMonitor,
    telemetry::Metrics,
};
use store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    address_limit::AddressLimit,
    limit::Limiter,
    lists::ListTurns,
    pre_auth::PreAuthLimits,
    signature_alarm::SignatureAlarm,
    ui::{Live, Snapshots},
    waiting::Waits,
    webhook_intake::Intake,
};

/// Most exports of the audit log that run at a time. Each uses one of the connections for lists.
const MAX_EXPORTS: usize = 2;

/// Limits on provision requests of one team that are in the database at a time.
const ACCEPT_BOUNDS: TurnLimits = TurnLimits { running: 2, waiting: 1000, max_wait: Duration::from_secs(5) };

/// Sign-ins to the dashboard that may begin at one address (IPv6: one /64): 60 at once, then 20 a minute.
const SIGN_INS: Quota = match (NonZeroU32::new(20), NonZeroU32::new(60)) {
    (Some(minute), Some(burst)) => Quota::per_minute(minute).allow_burst(burst),
    _ => Quota::per_minute(NonZeroU32::MIN),
};

/// Parts of the API, assembled by the process that runs it.
#[derive(Debug)]
pub struct Dependencies {
    /// PostgreSQL, the source of truth.
    pub store: Store,
    /// The job queue.
    pub queue: Queue,
    /// Announcements of job changes.
    pub announcements: Announcements,
    /// Verifier of bearer tokens.
    pub verifier: Verifier,
    /// Sign-in of people to the dashboard.
    pub code_flow: CodeFlow,
    /// Keys that open sealed credentials.
    pub keys: KeyRing,
    /// Addresses and limits of the HTTP server.
    pub server: ServerConfig,
    /// All configured installations with the default runner group of each.
    pub installations: BTreeMap<InstallationId, i64>,
    /// Further Apps of App pools, each with the installation whose pool it joins.
    pub further_apps: BTreeMap<InstallationId, InstallationId>,
    /// GitHub URLs with which runners register themselves, by installation.
    pub web_urls: BTreeMap<InstallationId, String>,
    /// Whether registration tokens are issued.
    pub registration_tokens: bool,
    /// Secrets of GitHub's webhooks; without any, deliveries are refused.
    pub webhook_secrets: Vec<WebhookSecret>,
    /// Issuers at which the command line can sign in.
    pub sign_in: Vec<SignIn>,
    /// Audience for programs that choose the audience of their token.
    pub token_audience: Option<String>,
    /// Issuer of machine clients that are added without one.
    pub default_issuer: String,
    /// Longest life of a config that is not fetched.
    pub config_life: TimeDelta,
    /// Settings of the process, without secrets.
    pub settings: Vec<EffectiveSetting>,
    /// Metrics for `/metrics`.
    pub metrics: Metrics,
    /// Monitor of the process's loops.
    pub progress: LoopMonitor,
    /// Cancelled when the process begins to stop; waiting requests are then answered at once.
    pub draining: CancellationToken,
}

/// An issuer at which the command line can sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Issuer, exactly as in its tokens.
    pub issuer: String,
    /// Public client of the command line.
    pub client_id: String,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Audience to ask for.
    pub audience: Option<String>,
}

/// The dependencies and the API's own state; cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    parts: Dependencies,
    pub(crate) limiter: Limiter,
    pre_auth: PreAuthLimits,
    sign_in_limit: AddressLimit,
    waits: Waits,
    list_turns: ListTurns,
    accept_turns: Turns<TeamId>,
    signature_alarm: SignatureAlarm,
    refusals: RefusalLog,
    intake: Intake,
    exports: Arc<Semaphore>,
    snapshots: Snapshots,
    live: Live,
}

impl AppState {
    /// Builds the state.
    pub fn new(parts: Dependencies) -> Self {
        let limiter = Limiter::new(&parts.server);
        let pre_auth = PreAuthLimits::new(&parts.server.guards);
        let waits = Waits::new(parts.server.guards.waits_per_caller);
        let list_turns = ListTurns::new(parts.server.guards.list_time_percent);
        Self(Arc::new(Inner {
            parts,
            limiter,
            pre_auth,
            sign_in_limit: AddressLimit::new(SIGN_INS),
            waits,
            list_turns,
            accept_turns: Turns::new(ACCEPT_BOUNDS),
            signature_alarm: SignatureAlarm::new(),
            refusals: RefusalLog::default(),
            intake: Intake::default(),
            exports: Arc::new(Semaphore::new(MAX_EXPORTS)),
            snapshots: Snapshots::default(),
            live: Live::default(),
        }))
    }

    /// Returns the longest time in which a session of the dashboard may send no request.
    pub(crate) fn session_idle(&self) -> TimeDelta {
        TimeDelta::from_std(self.server.sessions.idle).unwrap_or(TimeDelta::MAX)
    }

    /// Returns the rules that provision requests are checked against.
    pub(crate) fn provision_rules(&self) -> ProvisionRules<'_> {
        ProvisionRules {
            default_groups: &self.installations,
            registration_tokens: self.registration_tokens,
            turns: Some(&self.0.accept_turns),
        }
    }

    /// Returns the operations, with a limit on each caller's refusals.
    pub(crate) fn operations(&self) -> Operations<'_> {
        Operations::new(&self.store, &self.queue).limited_by(&self.0.limiter)
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// Records a refusal of a caller who is not authorised. Refusals with an equal key are counted.
    pub(crate) async fn record_unauthorised(
        &self,
        kind: Refused,
        key: String,
        entry: AuditEntry,
        event: Option<SecurityEvent>,
    ) {
        self.operations().record_unauthorised(&self.0.refusals, kind, key, entry, event).await;
    }

    /// Writes the summaries of counted refusals that are due, or of all if `all` is set.
    pub(crate) async fn flush_refusals(&self, all: bool) {
        self.operations().flush_refusals(&self.0.refusals, all).await;
    }

    pub(crate) fn pre_auth(&self) -> &PreAuthLimits {
        &self.0.pre_auth
    }

    /// Returns the limit on sign-ins that begin at one address.
    pub(crate) fn sign_in_limit(&self) -> &AddressLimit {
        &self.0.sign_in_limit
    }

    pub(crate) fn waits(&self) -> &Waits {
        &self.0.waits
    }

    /// Returns the turns of exports.
    pub(crate) fn exports(&self) -> Arc<Semaphore> {
        self.0.exports.clone()
    }

    /// Returns the live data of the pages.
    pub(crate) fn live(&self) -> &Live {
        &self.0.live
    }

    /// Returns the state of the service as pages show it.
    pub(crate) fn snapshots(&self) -> &Snapshots {
        &self.0.snapshots
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.0.intake
    }

    /// Returns the turns for lists.
    pub(crate) fn list_turns(&self) -> &ListTurns {
        &self.0.list_turns
    }

    /// Removes idle entries of the in-memory tables.
    pub(crate) fn forget_idle(&self) {
        self.limiter().forget_idle();
        self.list_turns().forget_idle();
        self.0.accept_turns.forget_idle();
        self.0.sign_in_limit.forget_idle();
    }

    pub(crate) fn signature_alarm(&self) -> &SignatureAlarm {
        &self.0.signature_alarm
    }
}

impl Deref for AppState {
    type Target = Dependencies;
    fn deref(&self) -> &Dependencies {
        &self.0.parts
    }
}
