//! Options of a [`World`], with the builder that starts it.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use dev_issuer::{Algorithm, IssuerConfig};
use devstack::{Layout, ServerTls, WrongClock};
use domain::{DriftRules, InstallationId, Secret};
use github::Scope;
use github_twin::{Limits, MoreApp, TwinConfig, WebhookConfig};
use queue::BudgetSettings;
use runtime::config::{
    LabelEnforcement, ServerConfig, ServerGuards, SessionLimits, TrustedProxies, WebhookSecret,
};
use scheduler::SyncSettings;

use crate::World;

/// Options of a [`World`]. Default: one worker, no scheduler, one issuer, GitHub's real limits.
#[derive(Clone, Debug)]
#[must_use]
#[expect(
    clippy::struct_excessive_bools,
    reason = "choices between yes and no that have nothing to do with each other"
)]
pub struct Builder {
    pub(crate) workers: usize,
    pub(crate) lease: Duration,
    pub(crate) concurrency: usize,
    pub(crate) github_timeout: Duration,
    pub(crate) timeouts: worker::StepTimeouts,
    pub(crate) budget: BudgetSettings,
    pub(crate) drift: DriftRules,
    pub(crate) sync_every: Duration,
    pub(crate) scheduler: bool,
    pub(crate) issuers: usize,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) twin: TwinConfig,
    pub(crate) enforcement: LabelEnforcement,
    pub(crate) webhook_secret: Option<String>,
    pub(crate) own_servers: bool,
    pub(crate) redis: Option<Layout>,
    pub(crate) clocks: Vec<WrongClock>,
    pub(crate) tls: Option<Box<ServerTls>>,
    pub(crate) more: Vec<ExtraInstallation>,
    pub(crate) primed: bool,
    pub(crate) registration_tokens: bool,
    pub(crate) proxies: String,
    pub(crate) guards: ServerGuards,
    pub(crate) public_url: Option<String>,
    pub(crate) rate: (u32, u32),
    pub(crate) default_wait_seconds: u8,
}

/// An additional installation.
#[derive(Clone, Debug)]
pub struct ExtraInstallation {
    /// The service's id of the installation.
    pub id: String,
    /// Organisation or enterprise that it manages on the twin.
    pub scope: Scope,
    /// Personal access token. `None` uses the twin's App, installed in the organisation.
    pub token: Option<String>,
    /// Runner group of requests that name none.
    pub default_group: i64,
    /// Webhook secret of its own. `None` uses the common one.
    pub webhook_secret: Option<String>,
    /// App pool whose further App it is.
    pub pool: Option<String>,
}

impl ExtraInstallation {
    /// Returns an organisation managed by the twin's App.
    pub fn org(id: &str, login: &str) -> Self {
        let scope = Scope::Org(login.to_owned());
        Self { id: id.to_owned(), scope, token: None, default_group: 1, webhook_secret: None, pool: None }
    }

    /// Returns an enterprise managed by a personal access token.
    pub fn enterprise(id: &str, slug: &str, token: &str) -> Self {
        let scope = Scope::Enterprise(slug.to_owned());
        Self { scope, token: Some(token.to_owned()), ..Self::org(id, slug) }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            workers: 1,
            lease: Duration::from_secs(15),
            concurrency: 4,
            github_timeout: Duration::from_secs(20),
            timeouts: worker::StepTimeouts::default(),
            // Wide budget: tests about limits narrow it themselves.
            budget: BudgetSettings {
                points_per_minute: 1_000_000,
                registrations: 1_000_000,
                team_running: 1000,
                ..BudgetSettings::default()
            },
            drift: DriftRules::default(),
            sync_every: Duration::from_mins(5),
            scheduler: false,
            issuers: 1,
            // RSA keys take long to generate, and most tests do not depend on the algorithm.
            algorithms: vec![Algorithm::ES256],
            twin: TwinConfig::default(),
            enforcement: LabelEnforcement::Enforce,
            webhook_secret: None,
            more: Vec::new(),
            primed: false,
            registration_tokens: false,
            proxies: String::new(),
            guards: wide_guards(),
            rate: (1_000_000, 100_000),
            default_wait_seconds: 0,
            public_url: None,
            own_servers: false,
            redis: None,
            clocks: Vec::new(),
            tls: None,
        }
    }
}

/// Limits far above the requests of one test.
fn wide_guards() -> ServerGuards {
    let many = |n| NonZeroU32::new(n).unwrap();
    ServerGuards {
        refusals_per_minute: many(1_000_000),
        refusals_burst: many(100_000),
        connections_per_address: many(10_000),
        waits_per_caller: many(10_000),
        list_time_percent: many(10_000),
    }
}

impl Builder {
    /// Sets the number of workers started with the world; 0 is allowed.
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Sets the duration of job leases; default 15 s.
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Sets how many jobs a worker runs at once; default 4.
    pub fn concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }

    /// Sets the time-out of GitHub calls; default 20 s.
    pub fn github_timeout(self, github_timeout: Duration) -> Self {
        Self { github_timeout, ..self }
    }

    /// Sets the time-outs of a worker's database step and of the job itself; default as in production.
    pub fn timeouts(self, row: Duration, work: Duration) -> Self {
        Self { timeouts: worker::StepTimeouts { database: row, job: work }, ..self }
    }

    /// Sets the GitHub budget; default close to unlimited.
    pub fn budget(self, budget: BudgetSettings) -> Self {
        Self { budget, ..self }
    }

    /// Sets the reaction to drift; default: act, and spare busy runners.
    pub fn drift(self, drift: DriftRules) -> Self {
        Self { drift, ..self }
    }

    /// Sets the interval between syncs; default 5 min.
    pub fn sync_every(self, sync_every: Duration) -> Self {
        Self { sync_every, ..self }
    }

    pub(crate) fn watch(&self) -> SyncSettings {
        SyncSettings { every: self.sync_every, rules: self.drift, ..SyncSettings::default() }
    }

    /// Starts a scheduler. Without one, tests call the scheduler's steps themselves.
    pub fn scheduler(self) -> Self {
        Self { scheduler: true, ..self }
    }

    /// Sets the number of trusted issuers.
    pub fn issuers(self, issuers: usize) -> Self {
        Self { issuers, ..self }
    }

    /// Sets the key algorithms of every issuer; the first one signs.
    pub fn algorithms(self, algorithms: &[Algorithm]) -> Self {
        Self { algorithms: algorithms.to_vec(), ..self }
    }

    /// Sets GitHub's limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.twin.limits = limits;
        self
    }

    /// Replaces the whole configuration of the twin.
    pub fn twin(self, twin: TwinConfig) -> Self {
        Self { twin, ..self }
    }

    /// Sets the reaction to workflow jobs that violate a policy; default: enforce.
    pub fn enforcement(self, enforcement: LabelEnforcement) -> Self {
        Self { enforcement, ..self }
    }

    /// Makes the API accept webhooks with this secret, and the twin send them.
    pub fn webhooks(self, secret: &str) -> Self {
        Self { webhook_secret: Some(secret.to_owned()), ..self }
    }

    /// Starts a PostgreSQL and a Redis of the test's own, which it may stop, freeze and start.
    pub fn own_servers(self) -> Self {
        Self { own_servers: true, ..self }
    }

    /// Starts a PostgreSQL and a Redis of the test's own, which also listen on loopback with this certificate. The
    /// world's own processes use the sockets.
    pub fn tls(self, tls: ServerTls) -> Self {
        Self { tls: Some(Box::new(tls)), ..self }.own_servers()
    }

    /// Starts a group of Redis servers of the test's own, which it may fail over.
    pub fn redis(self, layout: Layout) -> Self {
        Self { redis: Some(layout), ..self }
    }

    /// Starts a PostgreSQL and a Redis of the test's own, one of them with a wrong wall clock.
    pub fn wrong_clock(mut self, clock: WrongClock) -> Self {
        self.clocks.push(clock);
        self.own_servers()
    }

    /// Adds an installation; the twin must be configured with it too.
    pub fn installation(mut self, more: ExtraInstallation) -> Self {
        self.more.push(more);
        self
    }

    /// Adds a further App of the first organisation to the twin and to the pool `default`. GitHub's id of its
    /// installation is [`Self::further_app_id`] of its number, counted from 1.
    pub fn further_app(mut self, id: &str) -> Self {
        let number = self.twin.more_apps.last().map_or(1, |last| last.app_id - 430_000 + 1);
        let (org, slug) = (self.twin.org.clone(), id.to_owned());
        let installation_id = Self::further_app_id(number);
        self.twin.more_apps.push(MoreApp { app_id: 430_000 + number, slug, installation_id, org });
        let pool = Some(InstallationId::default().to_string());
        let more = ExtraInstallation { pool, ..ExtraInstallation::org(id, &self.twin.org) };
        self.installation(more)
    }

    /// Returns GitHub's id of the installation of a further App.
    pub fn further_app_id(number: u64) -> u64 {
        5_200_000 + number
    }

    /// Makes workers fetch GitHub's hourly windows before they start, as `rts worker` does.
    pub fn fetch_rate_limits_first(self) -> Self {
        Self { primed: true, ..self }
    }

    /// Enables registration tokens for callers with the permission.
    pub fn registration_tokens(self) -> Self {
        Self { registration_tokens: true, ..self }
    }

    /// Sets the proxies the API trusts, as addresses and networks; default none.
    pub fn proxies(self, proxies: &str) -> Self {
        Self { proxies: proxies.to_owned(), ..self }
    }

    /// Sets the limits that protect the API from excessive requests; default close to unlimited.
    pub fn guards(self, guards: ServerGuards) -> Self {
        Self { guards, ..self }
    }

    /// Sets how many seconds requests without `Prefer` wait for their job; default none.
    pub fn default_wait_seconds(self, default_wait_seconds: u8) -> Self {
        Self { default_wait_seconds, ..self }
    }

    /// Sets the public URL of the API; default none.
    pub fn public_url(self, url: &str) -> Self {
        Self { public_url: Some(url.to_owned()), ..self }
    }

    /// Sets how many requests a caller may make a minute and at once; default close to unlimited.
    pub fn rate(self, per_minute: u32, burst: u32) -> Self {
        Self { rate: (per_minute, burst), ..self }
    }

    /// Returns the HTTP settings of the API.
    pub(crate) fn server(&self) -> ServerConfig {
        let many = |n| NonZeroU32::new(n).unwrap();
        ServerConfig {
            host: "127.0.0.1".to_owned(),
            port: 0,
            default_wait: Duration::from_secs(self.default_wait_seconds.into()),
            trusted_proxies: TrustedProxies::parse(&self.proxies).unwrap_or_default(),
            public_url: self.public_url.as_ref().map(|url| url.parse().unwrap()),
            metrics_listen: None,
            public_docs: true,
            rate_per_minute: many(self.rate.0),
            rate_burst: many(self.rate.1),
            guards: self.guards.clone(),
            ticket_max_life: Duration::from_hours(24),
            sessions: SessionLimits::default(),
        }
    }

    /// Returns the twin's configuration, with webhooks sent to the API at `url`.
    pub(crate) fn twin_of(&self, url: &str) -> TwinConfig {
        let to_us = |secret: &String| WebhookConfig::new(format!("{url}/api/v1/webhooks/github"), secret);
        let webhook = self.webhook_secret.as_ref().map(to_us).or_else(|| self.twin.webhook.clone());
        TwinConfig { webhook, ..self.twin.clone() }
    }

    /// Returns every installation with its default runner group.
    pub(crate) fn default_groups(&self) -> BTreeMap<InstallationId, i64> {
        let more = self.more.iter().filter(|more| more.pool.is_none());
        let more = more.map(|more| (more.id.parse().unwrap(), more.default_group));
        std::iter::once((InstallationId::default(), 1)).chain(more).collect()
    }

    /// Returns every further App with its pool.
    pub(crate) fn further_apps(&self) -> BTreeMap<InstallationId, InstallationId> {
        let further =
            |more: &ExtraInstallation| Some((more.id.parse().unwrap(), more.pool.as_ref()?.parse().unwrap()));
        self.more.iter().filter_map(further).collect()
    }

    /// Returns the common webhook secret and the installations' own ones.
    pub(crate) fn webhook_secrets(&self) -> Vec<WebhookSecret> {
        let of = |secret: &str, installations| WebhookSecret { secret: Secret::new(secret), installations };
        let own = |more: &ExtraInstallation| {
            more.webhook_secret.clone().map(|s| of(&s, vec![more.id.parse().unwrap()]))
        };
        let shares = self.more.iter().filter(|more| more.webhook_secret.is_none());
        let mut common = vec![InstallationId::default()];
        common.extend(shares.map(|more| more.id.parse().unwrap()));
        let common = self.webhook_secret.as_deref().map(|secret| of(secret, common));
        common.into_iter().chain(self.more.iter().filter_map(own)).collect()
    }

    pub(crate) fn issuer(&self) -> IssuerConfig {
        IssuerConfig { algorithms: self.algorithms.clone(), ..IssuerConfig::default() }
    }

    /// Starts the world.
    ///
    /// # Panics
    /// When any part does not start.
    pub async fn start(self) -> World {
        // The future of all its steps is large, and every test would hold it.
        Box::pin(World::build(self)).await
    }
}
