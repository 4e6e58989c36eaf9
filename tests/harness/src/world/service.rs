//! Processes of the service: the API, workers and schedulers of a world.

use std::sync::atomic::Ordering;

use api::ConnectionLimits;
use chrono::TimeDelta;
use dev_issuer::Issuer;
use domain::{InstallationId, KeyRing};
use installations::Installations;
use oidc::{CodeClient, CodeFlow, HttpSettings, TrustedIssuer, Verifier};
use queue::Announcements;
use runtime::{
    config::{EffectiveSetting, IssuerPolicy, Mode, Sources},
    health::LoopMonitor,
};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::{
    CREDENTIAL_KEY, World,
    github::{audit_keys, token_keys},
};
use crate::{Process, telemetry};

/// Lifetime of a JIT config that is not fetched.
const CONFIG_LIFE: TimeDelta = TimeDelta::minutes(60);

impl World {
    /// Starts one more worker.
    ///
    /// # Panics
    /// When the worker cannot be started.
    pub fn start_worker(&self) -> Process {
        self.start_worker_for(|_| true)
    }

    /// Starts one more worker with the credentials of only those installations that `knows` accepts.
    ///
    /// # Panics
    /// When the worker cannot be started.
    pub fn start_worker_for(&self, knows: impl Fn(&str) -> bool) -> Process {
        let name = format!("worker-{}", self.made.fetch_add(1, Ordering::Relaxed));
        let (database, redis, mut installations) =
            (self.database.clone(), self.redis.clone(), self.installation_settings());
        installations.retain(|one| knows(one.id.as_str()));
        let (concurrency, lease, drift) = (self.choices.concurrency, self.choices.lease, self.choices.drift);
        let (called, primed, timeouts) = (name.clone(), self.choices.primed, self.choices.timeouts);
        Process::start(&name, move |shutdown| async move {
            let queue = redis.queue();
            let fleet = Installations::new(&queue, &token_keys(), installations)?;
            if primed {
                fleet.fetch_rate_limits(&queue).await;
            }
            let parts = worker::Parts {
                store: database.service_store(8),
                queue,
                installations: fleet,
                keys: credential_keys(),
                config_life: CONFIG_LIFE,
                drift,
                concurrency,
                lease,
                timeouts,
                name: called,
                progress: LoopMonitor::new(),
            };
            worker::run(parts, shutdown).await
        })
    }

    /// Starts a scheduler.
    ///
    /// # Panics
    /// When the scheduler cannot be started.
    pub fn start_scheduler(&self) -> Process {
        let (database, redis, installations) =
            (self.database.clone(), self.redis.clone(), self.installation_settings());
        let (enforcement, watch) = (self.choices.enforcement, self.choices.watch());
        let (default_groups, registration_tokens) =
            (self.choices.default_groups(), self.choices.registration_tokens);
        Process::start("scheduler", move |shutdown| async move {
            let queue = redis.queue();
            let parts = scheduler::Parts {
                store: database.service_store(3),
                installations: Installations::new(&queue, &token_keys(), installations)?,
                queue,
                audit_keys: audit_keys(),
                event_sinks: scheduler::events::EventSinks::none(),
                enforcement,
                default_groups,
                registration_tokens,
                sync: watch,
                steps: scheduler::StepReports::default(),
                progress: LoopMonitor::new(),
            };
            scheduler::run(parts, shutdown).await
        })
    }

    pub(super) fn start_api(&self, listener: std::net::TcpListener) -> Process {
        let (database, redis, clock) = (self.database.clone(), self.redis.clone(), self.watch.clone());
        let issuers: Vec<_> =
            self.issuers.iter().enumerate().map(|(nth, issuer)| trusted_issuer(nth, issuer)).collect();
        let (installations, webhook_secrets) =
            (self.choices.default_groups(), self.choices.webhook_secrets());
        let further_apps = self.choices.further_apps();
        let registration_tokens = self.choices.registration_tokens;
        let sign_in = issuers.iter().map(sign_in).collect();
        let clients = issuers.iter().map(code_client).collect();
        let server = self.choices.server();
        let limits = ConnectionLimits {
            per_address: usize::try_from(server.guards.connections_per_address.get()).unwrap(),
            trusted: server.trusted_proxies.clone(),
            ..ConnectionLimits::default()
        };
        Process::start("api", move |shutdown| async move {
            let listener = TcpListener::from_std(listener)?;
            let queue = redis.queue();
            let http = HttpSettings::default();
            let token_audience = issuers.first().and_then(|first| first.audiences.first()).cloned();
            let default_issuer = issuers.first().map(|first| first.issuer.clone()).unwrap_or_default();
            let verifier = Verifier::new(issuers, &http, clock)?;
            let web_url = |id: &InstallationId| (id.clone(), format!("https://github.test/{id}"));
            let app = api::AppState::new(api::Dependencies {
                store: database.service_store(10),
                announcements: Announcements::start(&queue),
                queue,
                sign_in,
                token_audience,
                default_issuer,
                code_flow: CodeFlow::new(clients, &http, verifier.clone())?,
                verifier,
                keys: credential_keys(),
                server,
                web_urls: installations.keys().map(web_url).collect(),
                registration_tokens,
                installations,
                further_apps,
                webhook_secrets,
                config_life: CONFIG_LIFE,
                settings: settings(),
                metrics: telemetry::metrics(),
                progress: LoopMonitor::new(),
                draining: shutdown.draining().clone(),
            });
            tokio::spawn(api::upkeep(app.clone()));
            Ok(api::serve_within(listener, api::router(app), shutdown.draining().clone(), limits).await?)
        })
    }
}

fn sign_in(issuer: &TrustedIssuer) -> api::SignIn {
    api::SignIn {
        issuer: issuer.issuer.clone(),
        client_id: "rts-cli".to_owned(),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        audience: issuer.audiences.first().cloned(),
    }
}

fn code_client(issuer: &TrustedIssuer) -> CodeClient {
    CodeClient { issuer: issuer.issuer.clone(), client_id: "dashboard".to_owned(), secret_path: None }
}

fn trusted_issuer(nth: usize, issuer: &Issuer) -> TrustedIssuer {
    TrustedIssuer {
        issuer: issuer.url().to_owned(),
        audiences: vec!["runner-tokens".to_owned()],
        jwks_url: None,
        name: format!("issuer-{nth}"),
        policy: IssuerPolicy { binds_people: (nth == 0).then_some(true), ..IssuerPolicy::default() },
    }
}

/// Returns settings as a deployment has them, with secrets that no answer may contain.
fn settings() -> Vec<EffectiveSetting> {
    Sources::empty(Mode::Production)
        .set("DATABASE_URL", "postgres://rts:canary-of-a-password@db.example/rts")
        .set("REDIS_URL", "rediss://:canary-of-a-password@cache.example")
        .set("CREDENTIAL_KEYS", "test:canary-of-a-password")
        .set("SERVICE_PORT", "8081")
        .effective()
}

fn credential_keys() -> KeyRing {
    KeyRing::new(&[("test".to_owned(), Zeroizing::new(CREDENTIAL_KEY.to_vec()))]).unwrap()
}
