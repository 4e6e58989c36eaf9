//! Configuration, read once at start from an optional TOML file, `.env` and the environment.
//!
//! Each section loads, documents and validates itself. Names are flat: `SERVICE_PORT` in the environment,
//! `service_port` in the file. The environment overrides `.env`, and `.env` overrides the file. An empty value counts
//! as unset. An invalid value stops the start with one line that names its location.

mod database;
mod docs;
mod effective;
mod error;
mod event_sinks;
mod files;
mod github;
mod jobs;
mod log;
mod oidc;
mod outgoing;
mod parse;
mod plaintext;
mod secrets;
mod server;
mod setting;
mod sources;
mod traces;

pub use database::{BootstrapConfig, DatabaseConfig, RedisConfig};
pub use docs::{help, markdown, settings};
pub use effective::EffectiveSetting;
pub use error::ConfigError;
pub use event_sinks::{EventSinkConfig, EventSinksConfig};
pub use github::{
    CredentialConfig, GithubAppConfig, GithubConfig, GithubOwner, InstallationConfig, MemberConfig,
    WebhookConfig, WebhookSecret,
};
pub use jobs::{JobsConfig, LabelEnforcement};
pub use log::{LogConfig, LogFormat};
pub use oidc::{AcceptedTokens, CliSignIn, IssuerConfig, IssuerPolicy, OidcConfig, WebSignIn};
pub use outgoing::{OutgoingConfig, ProxyConfig};
pub use parse::{is_loopback, safe_url};
pub use secrets::{CredentialKey, SecretsConfig, TokenKeysConfig};
pub use server::{ServerConfig, ServerGuards, SessionLimits, TrustedProxies};
pub use setting::{Fallback, Section, Setting};
pub use sources::{Mode, Sources};
pub use traces::TracesConfig;

/// All sections, for a process that runs everything. Other processes load only the sections they need with
/// [`Sources::section`]; the API, for example, runs without the App's key.
#[derive(Clone, Debug)]
pub struct Config {
    /// HTTP server.
    pub server: ServerConfig,
    /// PostgreSQL.
    pub database: DatabaseConfig,
    /// Redis.
    pub redis: RedisConfig,
    /// GitHub and the owners of runners.
    pub github: GithubConfig,
    /// Credentials for GitHub.
    pub github_app: GithubAppConfig,
    /// Webhook secrets.
    pub webhooks: WebhookConfig,
    /// Trusted token issuers.
    pub oidc: OidcConfig,
    /// Keys for secrets at rest.
    pub secrets: SecretsConfig,
    /// Jobs, sync and policy.
    pub jobs: JobsConfig,
    /// Logging.
    pub log: LogConfig,
    /// Sinks of events.
    pub event_sinks: EventSinksConfig,
    /// First admins.
    pub bootstrap: BootstrapConfig,
}

impl Config {
    /// Loads every section.
    ///
    /// # Errors
    /// Returns the first invalid or missing value.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Ok(Self {
            log: sources.section()?,
            server: sources.section()?,
            database: sources.section()?,
            redis: sources.section()?,
            github: sources.section()?,
            github_app: sources.section()?,
            webhooks: sources.section()?,
            oidc: sources.section()?,
            secrets: sources.section()?,
            jobs: sources.section()?,
            event_sinks: sources.section()?,
            bootstrap: sources.section()?,
        })
    }
}

#[cfg(test)]
mod tests;
