//! What kind of world.

use std::time::Duration;

use domain::DriftRules;
use queue::BudgetSettings;
use runtime::config::LabelEnforcement;
use scheduler::Watch;
use twin::{Algorithm, IssuerConfig, Limits, TwinConfig, WebhookConfig};

use crate::World;

/// Choices for a [`World`]; without any: one worker, no scheduler, one issuer, GitHub's own limits.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    pub(crate) workers: usize,
    pub(crate) lease: Duration,
    pub(crate) concurrency: usize,
    pub(crate) github_patience: Duration,
    pub(crate) budget: BudgetSettings,
    pub(crate) drift: DriftRules,
    pub(crate) sync_every: Duration,
    pub(crate) scheduler: bool,
    pub(crate) issuers: usize,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) twin: TwinConfig,
    pub(crate) enforcement: LabelEnforcement,
    pub(crate) webhook_secret: Option<String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            workers: 1,
            lease: Duration::from_secs(15),
            concurrency: 4,
            github_patience: Duration::from_secs(20),
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
        }
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

    pub(crate) fn watch(&self) -> Watch {
        Watch { every: self.sync_every, rules: self.drift, ..Watch::default() }
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

    /// What GitHub is told, with the API at `url`.
    pub(crate) fn twin_of(&self, url: &str) -> TwinConfig {
        let to_us = |secret: &String| WebhookConfig::new(format!("{url}/api/v1/webhooks/github"), secret);
        let webhook = self.webhook_secret.as_ref().map(to_us).or_else(|| self.twin.webhook.clone());
        TwinConfig { webhook, ..self.twin.clone() }
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
