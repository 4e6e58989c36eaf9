//! From settings to parts.

use anyhow::Context;
use api::oidc::{HttpSettings, TrustedIssuer, Verifier};
use chrono::TimeDelta;
use domain::{DriftRules, KeyRing};
use fleet::{Fleet, Installation};
use github::{Credential, GitHubSettings, KeySource, Scope};
use queue::{Announcements, BudgetSettings, Spine, SpineConfig};
use runtime::{
    Clock,
    config::{
        ConfigError, DatabaseConfig, GithubAppConfig, GithubConfig, JobsConfig, LabelEnforcement, OidcConfig,
        RedisConfig, SecretsConfig, ServerConfig, Sources,
    },
    health::Progress,
};
use store::Store;

use crate::process::Process;

/// GitHub, once for each installation of this process.
pub(crate) type Installations = Vec<Installation>;

/// The database; connects on first use.
pub(crate) fn store(sources: &Sources) -> anyhow::Result<Store> {
    let config: DatabaseConfig = sources.section()?;
    // The library's error may quote the address, and so a password.
    let unreadable = |_| ConfigError::Bad {
        place: "DATABASE_URL".to_owned(),
        expects: "an address PostgreSQL understands".to_owned(),
        given: None,
    };
    Ok(Store::new(&config.url, config.max_connections).map_err(unreadable)?)
}

/// The queue; connects on first use.
pub(crate) fn spine(sources: &Sources) -> anyhow::Result<Spine> {
    let config: RedisConfig = sources.section()?;
    Ok(Spine::connect(&SpineConfig::new(config.url.expose(), config.namespace))?)
}

/// The GitHub App of the settings.
pub(crate) fn installations(sources: &Sources) -> anyhow::Result<Installations> {
    let config: GithubConfig = sources.section()?;
    let app: GithubAppConfig = sources.section()?;
    let credential = Credential::App {
        app_id: app.app_id.to_string(),
        installation_id: app.app_installation_id,
        private_key: KeySource::File(app.private_key_path),
    };
    Ok(vec![Installation {
        id: config.installation,
        github: GitHubSettings::new(config.api_url, Scope::Org(config.org), credential),
        budget: BudgetSettings {
            enabled: app.rate_limits,
            team_running: app.team_running,
            ..BudgetSettings::default()
        },
    }])
}

/// What the API is made of, and what the process needs of it besides.
pub(crate) fn api(sources: &Sources, process: &Process) -> anyhow::Result<(api::Parts, Verifier)> {
    let oidc: OidcConfig = sources.section()?;
    let default_issuer = oidc.issuers.first().map(|issuer| issuer.issuer.clone()).unwrap_or_default();
    let issuers = oidc.issuers.into_iter().map(TrustedIssuer::from).collect();
    let verifier = verifier(issuers)?;
    let github: GithubConfig = sources.section()?;
    let spine = spine(sources)?;
    let parts = api::Parts {
        store: store(sources)?,
        announcements: Announcements::start(&spine),
        spine,
        verifier: verifier.clone(),
        keys: keys(sources)?,
        server: sources.section::<ServerConfig>()?,
        default_group: github.default_runner_group_id,
        webhook_secret: github.webhook_secret,
        default_issuer,
        config_life: config_life(&sources.section()?),
        metrics: process.metrics.clone(),
        progress: Progress::new(),
        draining: process.shutdown.draining().clone(),
    };
    Ok((parts, verifier))
}

/// A verifier of the tokens of these issuers.
pub(crate) fn verifier(issuers: Vec<TrustedIssuer>) -> anyhow::Result<Verifier> {
    Verifier::new(issuers, HttpSettings::default(), Clock::System).context("cannot build an HTTP client")
}

/// What one worker is made of. Must be called within a tokio runtime.
pub(crate) fn worker(
    sources: &Sources,
    installations: Installations,
    name: String,
) -> anyhow::Result<worker::Parts> {
    let jobs: JobsConfig = sources.section()?;
    let (spine, keys) = (spine(sources)?, keys(sources)?);
    Ok(worker::Parts {
        store: store(sources)?,
        fleet: Fleet::new(&spine, &keys, installations)?,
        spine,
        keys,
        config_life: config_life(&jobs),
        drift: drift(&jobs),
        concurrency: jobs.worker_concurrency,
        lease: jobs.worker_lease,
        name,
        progress: Progress::new(),
    })
}

/// What the scheduler is made of. Must be called within a tokio runtime.
pub(crate) fn scheduler(sources: &Sources, installations: Installations) -> anyhow::Result<scheduler::Parts> {
    let jobs: JobsConfig = sources.section()?;
    let spine = spine(sources)?;
    Ok(scheduler::Parts {
        store: store(sources)?,
        fleet: Fleet::new(&spine, &keys(sources)?, installations)?,
        spine,
        enforcement: jobs.label_enforcement,
        watch: watch(&jobs),
        progress: Progress::new(),
    })
}

fn watch(jobs: &JobsConfig) -> scheduler::Watch {
    scheduler::Watch {
        every: jobs.sync_interval,
        rules: drift(jobs),
        config_life: config_life(jobs),
        stale_after: TimeDelta::from_std(jobs.stale_after).unwrap_or(TimeDelta::days(1)),
        lease: jobs.worker_lease,
        name: crate::process::place("scheduler"),
    }
}

fn keys(sources: &Sources) -> anyhow::Result<KeyRing> {
    let config: SecretsConfig = sources.section()?;
    Ok(KeyRing::new(&config.pairs())?)
}

fn drift(jobs: &JobsConfig) -> DriftRules {
    DriftRules {
        enforce: jobs.label_enforcement == LabelEnforcement::Enforce,
        delete_busy: jobs.drift_deletes_busy,
    }
}

fn config_life(jobs: &JobsConfig) -> TimeDelta {
    TimeDelta::from_std(jobs.jit_config_ttl).unwrap_or(TimeDelta::hours(1))
}
