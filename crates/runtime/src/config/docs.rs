//! Documentation of all settings, as text and as Markdown.

use std::fmt::Write;

use super::{
    BootstrapConfig, DatabaseConfig, EventSinksConfig, Fallback, GithubAppConfig, GithubConfig, JobsConfig,
    LogConfig, OidcConfig, OutgoingConfig, RedisConfig, SecretsConfig, Section, ServerConfig, Setting,
    TokenKeysConfig, TracesConfig, WebhookConfig,
};

/// Setting read by the sources themselves, before any section.
pub(super) const CONFIG: Setting = Setting::new(
    "RTS_CONFIG",
    "the path of a TOML file",
    "A TOML file with settings: the same names in lower case. The environment wins over it.",
);

/// Setting read by the sources themselves, from the environment only.
pub(super) const ENV_FILE: Setting = Setting::new(
    "RTS_ENV_FILE",
    "the path of a file with lines NAME=value",
    "A file with environment variables, instead of `.env` in the working directory. The environment wins over it. Where      it holds secrets, other users must not be able to read it, nor ever to write it.",
);

const SECTIONS: &[(&str, &[Setting])] = &[
    ("Configuration file", &[CONFIG, ENV_FILE]),
    (ServerConfig::TITLE, ServerConfig::SETTINGS),
    (DatabaseConfig::TITLE, DatabaseConfig::SETTINGS),
    (RedisConfig::TITLE, RedisConfig::SETTINGS),
    (OutgoingConfig::TITLE, OutgoingConfig::SETTINGS),
    (GithubConfig::TITLE, GithubConfig::SETTINGS),
    (GithubAppConfig::TITLE, GithubAppConfig::SETTINGS),
    (WebhookConfig::TITLE, WebhookConfig::SETTINGS),
    (OidcConfig::TITLE, OidcConfig::SETTINGS),
    (SecretsConfig::TITLE, SecretsConfig::SETTINGS),
    (TokenKeysConfig::TITLE, TokenKeysConfig::SETTINGS),
    (JobsConfig::TITLE, JobsConfig::SETTINGS),
    (EventSinksConfig::TITLE, EventSinksConfig::SETTINGS),
    (LogConfig::TITLE, LogConfig::SETTINGS),
    (TracesConfig::TITLE, TracesConfig::SETTINGS),
    (BootstrapConfig::TITLE, BootstrapConfig::SETTINGS),
];

pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|(_, settings)| settings.iter())
}

/// Returns every section's title and settings, in the order of the documentation.
pub fn settings() -> &'static [(&'static str, &'static [Setting])] {
    SECTIONS
}

/// Returns all settings as plain text, for `--help`.
pub fn help() -> String {
    let mut out = String::new();
    for (title, settings) in SECTIONS {
        let _ = writeln!(out, "{title}:");
        for setting in *settings {
            let _ = writeln!(out, "  {} ({})", setting.name, fallback(setting));
            let _ = writeln!(out, "      {} Should be {}.", setting.meaning, setting.expects);
        }
        out.push('\n');
    }
    out
}

/// Returns all settings as Markdown tables, for the reference documentation.
pub fn markdown() -> String {
    let mut out = String::new();
    for (title, settings) in SECTIONS {
        let _ = write!(out, "### {title}\n\n| Name | Default | Should be | Meaning |\n|---|---|---|---|\n");
        for s in *settings {
            let _ = writeln!(out, "| `{}` | {} | {} | {} |", s.name, fallback(s), s.expects, s.meaning);
        }
        out.push('\n');
    }
    out
}

fn fallback(setting: &Setting) -> String {
    match setting.fallback {
        Fallback::Value(value) => format!("`{value}`"),
        Fallback::Unset => "optional".to_owned(),
        Fallback::Required => "required".to_owned(),
    }
}
