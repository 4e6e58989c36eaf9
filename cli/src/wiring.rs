//! Construction of the process parts from settings.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use chrono::TimeDelta;
use domain::{AuditKeys, DriftRules, InstallationId, KeyRing, Secret};
use github::{Credential, GitHubSettings, KeySource, Outgoing, Proxy, Scope, TokenSource};
use installations::{Installation, Installations};
use oidc::{CodeClient, CodeFlow, HttpSettings, TrustedIssuer, Verifier};
use queue::{Announcements, BudgetSettings, Queue, QueueConfig};
use runtime::{
    Clock,
    config::{
        ConfigError, CredentialConfig, DatabaseConfig, EventSinksConfig, GithubAppConfig, GithubConfig,
        GithubOwner, IssuerConfig, JobsConfig, LabelEnforcement, MemberConfig, Mode, OidcConfig,
        OutgoingConfig, RedisConfig, SecretsConfig, ServerConfig, Sources, TokenKeysConfig, WebhookConfig,
    },
    health::LoopMonitor,
    password_file,
};
use scheduler::events::{DeliveryLimits, EventSinks};
use store::{Pooler, ReplicaSettings, Store, StoreSettings};
use tokio::time::timeout;

use crate::process::Process;

/// Time limit at start for reading the rate limits of all installations from GitHub.
const RATE_LIMITS_TIMEOUT: Duration = Duration::from_secs(3);

/// GitHub installations of this process.
pub(crate) type InstallationSettings = Vec<Installation>;

/// Returns the database, which connects on first use.
pub(crate) fn store(sources: &Sources) -> anyhow::Result<Store> {
    let config: DatabaseConfig = sources.section()?;
    // The library's error may quote the address, and so a password.
    let unreadable = |_| ConfigError::Bad {
        place: "DATABASE_URL".to_owned(),
        expects: "an address PostgreSQL understands".to_owned(),
        given: None,
    };
    let roots = sources.section::<OutgoingConfig>()?.trust.pem();
    let settings = StoreSettings {
        roots,
        password: config.password_file.map(password_file),
        pooler: if config.transaction_pooler { Pooler::Transaction } else { Pooler::None },
        replica: config.read_url.map(|url| ReplicaSettings { url, max_age: config.read_max_age }),
        ..StoreSettings::new(config.url, config.max_connections)
    };
    Ok(Store::open(settings).map_err(unreadable)?)
}

/// Returns the queue, which connects on first use.
pub(crate) fn queue(sources: &Sources) -> anyhow::Result<Queue> {
    let config: RedisConfig = sources.section()?;
    let roots = sources.section::<OutgoingConfig>()?.trust.pem();
    Ok(Queue::connect(&QueueConfig {
        roots: Some(roots),
        installations_per_claim: config.installations_per_claim,
        password: config.password_file.map(password_file),
        ..QueueConfig::new(config.url.expose(), config.namespace)
    })?)
}

/// Returns every installation of the settings with its credential.
pub(crate) fn installations(sources: &Sources) -> anyhow::Result<InstallationSettings> {
    let config: GithubConfig = sources.section()?;
    let app: GithubAppConfig = sources.section()?;
    let insecure = sources.mode() == Mode::Development;
    let OutgoingConfig { trust, proxy } = sources.section()?;
    let proxy = proxy.map(|proxy| Proxy { url: Secret::new(proxy.url.as_str()), except: proxy.except });
    let outgoing = Outgoing { roots: Some(trust.roots()), proxy };
    let one = |member: MemberConfig| {
        // A further App has the owner of its pool.
        let pool = member.pool.as_ref().unwrap_or(&member.id);
        let installation = config.installations.iter().find(|one| one.id == *pool)?;
        let (scope, credential) = (scope(installation.owner.clone()), credential(member.credential));
        let mut github = GitHubSettings::new(installation.api_url.clone(), scope, credential);
        github.allow_insecure_key = insecure;
        github.outgoing = outgoing.clone();
        let budget = BudgetSettings {
            enabled: member.rate_limits,
            team_running: app.team_running,
            ..BudgetSettings::default()
        };
        Some(Installation { id: member.id, pool: member.pool, github, budget })
    };
    Ok(app.members.into_iter().filter_map(one).collect())
}

fn scope(owner: GithubOwner) -> Scope {
    match owner {
        GithubOwner::Org(org) => Scope::Org(org),
        GithubOwner::Repository(owner, name) => Scope::Repo { owner, name },
        GithubOwner::Enterprise(slug) => Scope::Enterprise(slug),
    }
}

fn credential(config: CredentialConfig) -> Credential {
    match config {
        CredentialConfig::App { app_id, app_installation_id, private_key_path } => Credential::App {
            app_id: app_id.to_string(),
            installation_id: app_installation_id,
            private_key: KeySource::File(private_key_path),
        },
        CredentialConfig::Token { path } => Credential::Pat(TokenSource::File(path)),
    }
}

/// Returns the parts of the API, and the verifier that its process keeps up to date.
pub(crate) fn api(sources: &Sources, process: &Process) -> anyhow::Result<(api::Dependencies, Verifier)> {
    let oidc: OidcConfig = sources.section()?;
    let default_issuer = oidc.issuers.first().map(|issuer| issuer.issuer.clone()).unwrap_or_default();
    let token_audience = oidc.token_audience().map(str::to_owned);
    let sign_in = oidc.issuers.iter().filter_map(sign_in).collect();
    let clients = oidc.issuers.iter().filter_map(code_client).collect();
    let issuers = oidc.issuers.into_iter().map(TrustedIssuer::from).collect();
    let verifier = verifier(sources, issuers)?;
    let github: GithubConfig = sources.section()?;
    let queue = queue(sources)?;
    let parts = api::Dependencies {
        store: store(sources)?,
        announcements: Announcements::start(&queue),
        queue,
        code_flow: code_flow(sources, clients, verifier.clone())?,
        verifier: verifier.clone(),
        keys: keys(sources)?,
        server: sources.section::<ServerConfig>()?,
        web_urls: github.installations.iter().map(|one| (one.id.clone(), one.web_url())).collect(),
        registration_tokens: sources.section::<JobsConfig>()?.registration_tokens,
        installations: default_groups(&github),
        further_apps: github.further_apps,
        webhook_secrets: sources.section::<WebhookConfig>()?.secrets,
        sign_in,
        token_audience,
        default_issuer,
        config_life: config_life(&sources.section()?),
        settings: sources.effective(),
        metrics: process.metrics.clone(),
        progress: LoopMonitor::new(),
        draining: process.shutdown.draining().clone(),
    };
    Ok((parts, verifier))
}

/// Returns the runner group of requests that name none, by installation.
fn default_groups(github: &GithubConfig) -> BTreeMap<InstallationId, i64> {
    github.installations.iter().map(|one| (one.id.clone(), one.default_runner_group_id)).collect()
}

/// Returns the issuer as one at which the command line signs in.
fn sign_in(issuer: &IssuerConfig) -> Option<api::SignIn> {
    let cli = issuer.cli.as_ref()?;
    Some(api::SignIn {
        issuer: issuer.issuer.clone(),
        client_id: cli.client_id.clone(),
        scopes: cli.scopes.clone(),
        audience: issuer.audiences.first().cloned(),
    })
}

/// Returns the client by which people sign in to the dashboard at an issuer.
pub(crate) fn code_client(issuer: &IssuerConfig) -> Option<CodeClient> {
    let web = issuer.web.as_ref()?;
    Some(CodeClient {
        issuer: issuer.issuer.clone(),
        client_id: web.client_id.clone(),
        secret_path: web.secret_path.clone(),
    })
}

/// Returns the sign-in to the dashboard by these clients.
pub(crate) fn code_flow(
    sources: &Sources,
    clients: Vec<CodeClient>,
    verifier: Verifier,
) -> anyhow::Result<CodeFlow> {
    let http = HttpSettings { outgoing: Some(sources.section()?), ..HttpSettings::default() };
    CodeFlow::new(clients, &http, verifier).context("cannot build an HTTP client")
}

/// Returns a verifier for tokens of these issuers.
pub(crate) fn verifier(sources: &Sources, issuers: Vec<TrustedIssuer>) -> anyhow::Result<Verifier> {
    let http = HttpSettings { outgoing: Some(sources.section()?), ..HttpSettings::default() };
    Verifier::new(issuers, &http, Clock::shared()).context("cannot build an HTTP client")
}

/// Returns the parts of one worker. Must be called within a tokio runtime.
pub(crate) fn worker(
    sources: &Sources,
    installations: InstallationSettings,
    name: String,
) -> anyhow::Result<worker::Parts> {
    let jobs: JobsConfig = sources.section()?;
    let (queue, keys, token_keys) = (queue(sources)?, keys(sources)?, token_keys(sources)?);
    Ok(worker::Parts {
        store: store(sources)?,
        installations: Installations::new(&queue, token_keys.as_ref(), installations)?,
        queue,
        keys,
        config_life: config_life(&jobs),
        drift: drift(&jobs),
        concurrency: jobs.worker_concurrency,
        lease: jobs.worker_lease,
        timeouts: worker::StepTimeouts::default(),
        name,
        progress: LoopMonitor::new(),
    })
}

/// Reads the rate limits of all installations from GitHub before the first job, and again whenever the queue has lost
/// them. A start waits only briefly for the first reading.
pub(crate) async fn fetch_rate_limits(installations: &Installations, queue: &Queue) {
    let first = {
        let (installations, queue) = (installations.clone(), queue.clone());
        tokio::spawn(async move { installations.fetch_rate_limits(&queue).await })
    };
    if timeout(RATE_LIMITS_TIMEOUT, first).await.is_err() {
        tracing::warn!("the rate limits of GitHub are not known yet; its responses will state them");
    }
    tokio::spawn(installations.clone().refresh_rate_limits(queue.clone()));
}

/// Returns the parts of the scheduler. Must be called within a tokio runtime.
pub(crate) fn scheduler(
    sources: &Sources,
    installations: InstallationSettings,
) -> anyhow::Result<scheduler::Parts> {
    let jobs: JobsConfig = sources.section()?;
    let queue = queue(sources)?;
    let github: GithubConfig = sources.section()?;
    Ok(scheduler::Parts {
        store: store(sources)?,
        installations: Installations::new(&queue, token_keys(sources)?.as_ref(), installations)?,
        queue,
        audit_keys: audit_keys(sources)?,
        event_sinks: event_sinks(sources)?,
        enforcement: jobs.label_enforcement,
        default_groups: default_groups(&github),
        registration_tokens: jobs.registration_tokens,
        sync: sync_settings(&jobs),
        steps: scheduler::StepReports::default(),
        progress: LoopMonitor::new(),
    })
}

fn event_sinks(sources: &Sources) -> anyhow::Result<EventSinks> {
    let outgoing: OutgoingConfig = sources.section()?;
    EventSinks::new(sources.section::<EventSinksConfig>()?, DeliveryLimits::default(), &outgoing)
        .context("cannot build an HTTP client")
}

fn sync_settings(jobs: &JobsConfig) -> scheduler::SyncSettings {
    scheduler::SyncSettings {
        every: jobs.sync_interval,
        rules: drift(jobs),
        config_life: config_life(jobs),
        stale_after: TimeDelta::from_std(jobs.stale_after).unwrap_or(TimeDelta::days(1)),
        lease: jobs.worker_lease,
        retention: scheduler::Retention {
            jobs: jobs.keep_jobs.and_then(span),
            runners: jobs.keep_runners.and_then(span),
            audit: jobs.keep_audit.and_then(span),
        },
        worker_slots: jobs.worker_concurrency as u64,
        name: crate::process::instance_name("scheduler"),
    }
}

fn keys(sources: &Sources) -> anyhow::Result<KeyRing> {
    let config: SecretsConfig = sources.section()?;
    Ok(KeyRing::new(&config.pairs())?)
}

/// Returns the keys of the GitHub tokens that workers and schedulers share, or `None` if they share no token.
fn token_keys(sources: &Sources) -> anyhow::Result<Option<KeyRing>> {
    let config: TokenKeysConfig = sources.section()?;
    if config.keys.is_empty() {
        tracing::info!("TOKEN_KEYS is not set: this process mints a GitHub token of its own");
        return Ok(None);
    }
    Ok(Some(KeyRing::new(&config.pairs())?))
}

/// Returns the keys that sign checkpoints of the audit chains, derived from the token keys; `None` without them.
pub(crate) fn audit_keys(sources: &Sources) -> anyhow::Result<Option<AuditKeys>> {
    let config: TokenKeysConfig = sources.section()?;
    Ok(AuditKeys::derive(&config.pairs())?)
}

fn drift(jobs: &JobsConfig) -> DriftRules {
    DriftRules {
        enforce: jobs.label_enforcement == LabelEnforcement::Enforce,
        delete_busy: jobs.drift_deletes_busy,
    }
}

fn span(time: std::time::Duration) -> Option<TimeDelta> {
    TimeDelta::from_std(time).ok()
}

fn config_life(jobs: &JobsConfig) -> TimeDelta {
    TimeDelta::from_std(jobs.jit_config_ttl).unwrap_or(TimeDelta::hours(1))
}
