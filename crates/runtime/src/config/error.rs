//! Why a configuration was refused. Always one line; never the value of a secret.

use std::path::PathBuf;

/// A refused configuration. `Display` is the one line the operator reads.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A value that is not what its setting takes.
    #[error("{place} should be {expects}{}", shown(.given.as_deref()))]
    Bad {
        /// Where the value was given: `SERVICE_PORT`, `SERVICE_PORT in .env` or `service_port in rts.toml`.
        place: String,
        /// What it should be.
        expects: String,
        /// The value, when it is no secret; shortened and escaped.
        given: Option<String>,
    },
    /// A setting without a default that nobody gave.
    #[error("{name} is not set; it should be {expects}")]
    Missing {
        /// The environment variable's name.
        name: &'static str,
        /// What it should be.
        expects: String,
    },
    /// A key of the file that is no setting.
    #[error("`{key}` in {} is no setting", .path.display())]
    UnknownKey {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be read or understood.
    #[error("{} {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, without quoting its content.
        why: String,
    },
}

fn shown(given: Option<&str>) -> String {
    given.map(|text| format!(", not `{text}`")).unwrap_or_default()
}

/// At most 40 characters, control characters escaped, so that the message stays one line.
pub(super) fn shorten(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}
