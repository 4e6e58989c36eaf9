//! What kind of world.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use devstack::{Layout, WrongClock};
use domain::{DriftRules, InstallationId, Secret};
use github::Scope;
use github_twin::{Algorithm, IssuerConfig, Limits, TwinConfig, WebhookConfig};
use queue::BudgetSettings;
use runtime::config::{LabelEnforcement, ServerConfig, ServerGuards, TrustedProxies, WebhookSecret};
use scheduler::SyncSettings;

use crate::World;

/// Choices for a [`World`]; without any: one worker, no scheduler, one issuer, GitHub's own limits.
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
    pub(crate) github_patience: Duration,
    pub(crate) patience: worker::StepTimeouts,
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
    pub(crate) more: Vec<More>,
    pub(crate) primed: bool,
    pub(crate) registration_tokens: bool,
    pub(crate) proxies: String,
    pub(crate) guards: ServerGuards,
    pub(crate) public_url: Option<String>,
}

/// A further installation.
#[derive(Clone, Debug)]
pub struct More {
    /// Our name for it.
    pub id: String,
    /// Whose runners it manages on the twin.
    pub scope: Scope,
    /// How; none: as the twin's App, by the installation the twin has for this organisation.
    pub token: Option<String>,
    /// The runner group of requests that name none.
    pub default_group: i64,
    /// The secret of its webhooks; none: the common one.
    pub webhook_secret: Option<String>,
}

impl More {
    /// An organisation of the twin's App.
    pub fn org(id: &str, login: &str) -> Self {
        let scope = Scope::Org(login.to_owned());
        Self { id: id.to_owned(), scope, token: None, default_group: 1, webhook_secret: None }
    }

    /// An enterprise, by personal access token.
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
            github_patience: Duration::from_secs(20),
            patience: worker::StepTimeouts::default(),
            // Far wider than what one test asks for: stories about limits narrow it themselves.
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
            // Making an RSA key takes long; most stories do not care how tokens are signed.
            algorithms: vec![Algorithm::ES256],
            twin: TwinConfig::default(),
            enforcement: LabelEnforcement::Enforce,
            webhook_secret: None,
            more: Vec::new(),
            primed: false,
            registration_tokens: false,
            proxies: String::new(),
            guards: wide_guards(),
            public_url: None,
            own_servers: false,
            redis: None,
            clocks: Vec::new(),
        }
    }
}

/// Guards wider than what one test asks for.
fn wide_guards() -> ServerGuards {
    let many = |n| NonZeroU32::new(n).unwrap();
    ServerGuards {
        refusals_per_minute: many(1_000_000),
        refusals_burst: many(100_000),
        connections_per_address: many(10_000),
        waits_per_caller: many(10_000),
    }
}

impl Builder {
    /// So many workers from the start; none is possible.
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Leases of the workers; 15 s when not said.
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Jobs a worker runs at once; 4 when not said.
    pub fn concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }

    /// How long a worker waits for an answer of GitHub; 20 s when not said.
    pub fn github_patience(self, github_patience: Duration) -> Self {
        Self { github_patience, ..self }
    }

    /// How long a worker waits for its row, and how long for the work itself; as in real life when not said.
    pub fn patience(self, row: Duration, work: Duration) -> Self {
        Self { patience: worker::StepTimeouts { database: row, job: work }, ..self }
    }

    /// What the service believes GitHub allows; next to everything when not said.
    pub fn budget(self, budget: BudgetSettings) -> Self {
        Self { budget, ..self }
    }

    /// What may be done about drift; acted upon and the busy spared when not said.
    pub fn drift(self, drift: DriftRules) -> Self {
        Self { drift, ..self }
    }

    /// How often the scheduler compares the fleet with GitHub; 5 min when not said.
    pub fn sync_every(self, sync_every: Duration) -> Self {
        Self { sync_every, ..self }
    }

    pub(crate) fn watch(&self) -> SyncSettings {
        SyncSettings { every: self.sync_every, rules: self.drift, ..SyncSettings::default() }
    }

    /// A scheduler too. Without it, tests call its steps themselves.
    pub fn scheduler(self) -> Self {
        Self { scheduler: true, ..self }
    }

    /// So many trusted issuers.
    pub fn issuers(self, issuers: usize) -> Self {
        Self { issuers, ..self }
    }

    /// Keys of every issuer; the first signs.
    pub fn algorithms(self, algorithms: &[Algorithm]) -> Self {
        Self { algorithms: algorithms.to_vec(), ..self }
    }

    /// GitHub's limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.twin.limits = limits;
        self
    }

    /// Everything about GitHub.
    pub fn twin(self, twin: TwinConfig) -> Self {
        Self { twin, ..self }
    }

    /// What is done about workflow jobs that violate a policy; enforced when not said.
    pub fn enforcement(self, enforcement: LabelEnforcement) -> Self {
        Self { enforcement, ..self }
    }

    /// The API takes webhooks signed with this secret, and GitHub sends them there.
    pub fn webhooks(self, secret: &str) -> Self {
        Self { webhook_secret: Some(secret.to_owned()), ..self }
    }

    /// A PostgreSQL and a Redis of its own, which the story may stop, freeze and start.
    pub fn own_servers(self) -> Self {
        Self { own_servers: true, ..self }
    }

    /// Redis servers of its own that belong together, which the story may make fail over.
    pub fn redis(self, layout: Layout) -> Self {
        Self { redis: Some(layout), ..self }
    }

    /// A PostgreSQL and a Redis of its own, one of them with a wall clock that is wrong.
    pub fn wrong_clock(mut self, clock: WrongClock) -> Self {
        self.clocks.push(clock);
        self.own_servers()
    }

    /// A further installation; the twin must know it too.
    pub fn more(mut self, more: More) -> Self {
        self.more.push(more);
        self
    }

    /// Workers ask for GitHub's windows before they begin, as `rts worker` does.
    pub fn primed(self) -> Self {
        Self { primed: true, ..self }
    }

    /// Registration tokens are handed out to who may have them.
    pub fn registration_tokens(self) -> Self {
        Self { registration_tokens: true, ..self }
    }

    /// Proxies the API trusts, as addresses and networks; none when not said.
    pub fn proxies(self, proxies: &str) -> Self {
        Self { proxies: proxies.to_owned(), ..self }
    }

    /// What protects the API from those who ask too much; next to nothing when not said.
    pub fn guards(self, guards: ServerGuards) -> Self {
        Self { guards, ..self }
    }

    /// The address clients know the API by; none when not said.
    pub fn public_url(self, url: &str) -> Self {
        Self { public_url: Some(url.to_owned()), ..self }
    }

    /// Where the API listens and what it grants each caller.
    pub(crate) fn server(&self) -> ServerConfig {
        let many = |n| NonZeroU32::new(n).unwrap();
        ServerConfig {
            host: "127.0.0.1".to_owned(),
            port: 0,
            default_wait: Duration::ZERO,
            trusted_proxies: TrustedProxies::parse(&self.proxies).unwrap_or_default(),
            public_url: self.public_url.as_ref().map(|url| url.parse().unwrap()),
            metrics_listen: None,
            rate_per_minute: many(1_000_000),
            rate_burst: many(100_000),
            guards: self.guards.clone(),
        }
    }

    /// What GitHub is told, with the API at `url`.
    pub(crate) fn twin_of(&self, url: &str) -> TwinConfig {
        let to_us = |secret: &String| WebhookConfig::new(format!("{url}/api/v1/webhooks/github"), secret);
        let webhook = self.webhook_secret.as_ref().map(to_us).or_else(|| self.twin.webhook.clone());
        TwinConfig { webhook, ..self.twin.clone() }
    }

    /// Every installation with its default group.
    pub(crate) fn default_groups(&self) -> BTreeMap<InstallationId, i64> {
        let more = self.more.iter().map(|more| (more.id.parse().unwrap(), more.default_group));
        std::iter::once((InstallationId::default(), 1)).chain(more).collect()
    }

    /// The common secret and those of their own.
    pub(crate) fn webhook_secrets(&self) -> Vec<WebhookSecret> {
        let of = |secret: &str, installations| WebhookSecret { secret: Secret::new(secret), installations };
        let own = |more: &More| more.webhook_secret.clone().map(|s| of(&s, vec![more.id.parse().unwrap()]));
        let shares = self.more.iter().filter(|more| more.webhook_secret.is_none());
        let mut common = vec![InstallationId::default()];
        common.extend(shares.map(|more| more.id.parse().unwrap()));
        let common = self.webhook_secret.as_deref().map(|secret| of(secret, common));
        common.into_iter().chain(self.more.iter().filter_map(own)).collect()
    }

    pub(crate) fn issuer(&self) -> IssuerConfig {
        IssuerConfig { algorithms: self.algorithms.clone(), ..IssuerConfig::default() }
    }

    /// Starts it.
    ///
    /// # Panics
    /// When any part of it does not start.
    pub async fn start(self) -> World {
        World::build(self).await
    }
}
