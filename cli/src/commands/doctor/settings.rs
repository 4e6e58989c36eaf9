//! Checks of settings and of the files they name. They need no server.

use operations::doctor::Finding;
use runtime::config::{
    BootstrapConfig, ConfigError, DatabaseConfig, EventSinksConfig, GithubAppConfig, GithubConfig,
    JobsConfig, LogConfig, OidcConfig, OutgoingConfig, RedisConfig, SecretsConfig, Section, ServerConfig,
    Sources, TokenKeysConfig, WebhookConfig,
};

/// Loads every section, so that all faults are found at once.
pub(super) fn examine(sources: &Sources) -> Vec<Finding> {
    let mut faults: Vec<ConfigError> = [
        fault::<LogConfig>(sources),
        fault::<ServerConfig>(sources),
        fault::<DatabaseConfig>(sources),
        fault::<RedisConfig>(sources),
        fault::<OutgoingConfig>(sources),
        fault::<GithubConfig>(sources),
        fault::<GithubAppConfig>(sources),
        fault::<WebhookConfig>(sources),
        fault::<OidcConfig>(sources),
        fault::<SecretsConfig>(sources),
        fault::<TokenKeysConfig>(sources),
        fault::<JobsConfig>(sources),
        fault::<EventSinksConfig>(sources),
        fault::<BootstrapConfig>(sources),
    ]
    .into_iter()
    .flatten()
    .collect();
    // Several sections read the same setting.
    faults.dedup();
    let mut findings: Vec<Finding> = faults.iter().map(unreadable).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("settings", "all settings can be read"));
    }
    if sources.section::<WebhookConfig>().is_ok_and(|webhooks| webhooks.secrets.is_empty()) {
        let repair = "Set GITHUB_WEBHOOK_SECRET and the App's webhook. Without webhooks, changes are seen at the next sync run.";
        findings.push(Finding::warn("webhooks", "no webhook secret is set", repair));
    }
    findings
}

/// Returns the finding about settings that cannot be read.
pub(super) fn unreadable(error: &ConfigError) -> Finding {
    match error {
        ConfigError::Missing { name, .. } => {
            let repair = format!(
                "Set {name}; `rts settings` describes it. A process that does not use it works without it."
            );
            Finding::fail("settings", error.to_string(), repair)
        }
        ConfigError::Bad { place, .. } => Finding::fail(
            "settings",
            error.to_string(),
            format!("Correct {place}; `rts settings` describes it."),
        ),
        ConfigError::UnknownKey { key, .. } => {
            let repair = format!("Remove `{key}`, or write it as `rts settings` does.");
            Finding::fail("settings", error.to_string(), repair)
        }
        ConfigError::File { path, .. } => {
            let repair = format!("Correct the content, the owner or the mode of {}.", path.display());
            Finding::fail("files", error.to_string(), repair)
        }
    }
}

fn fault<T: Section>(sources: &Sources) -> Option<ConfigError> {
    sources.section::<T>().err()
}
