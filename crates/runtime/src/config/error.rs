//! Reasons a configuration is refused: one line each, without the values of secrets.

use std::path::PathBuf;

/// A refused configuration. `Display` is the one line shown to the operator.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A value that its setting does not accept.
    #[error("{place} should be {expects}{}", shown(.given.as_deref()))]
    Bad {
        /// Location of the value: `SERVICE_PORT`, `SERVICE_PORT in .env` or `service_port in rts.toml`.
        place: String,
        /// Description of valid values.
        expects: String,
        /// The value if it is not secret; shortened and escaped.
        given: Option<String>,
    },
    /// A required setting that is not given.
    #[error("{name} is not set; it should be {expects}")]
    Missing {
        /// Name of the environment variable.
        name: &'static str,
        /// Description of valid values.
        expects: String,
    },
    /// A key in the file that is not a setting.
    #[error("`{key}` in {} is not a setting", .path.display())]
    UnknownKey {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be read or parsed.
    #[error("{} {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The fault, without quoting the file's content.
        why: String,
    },
}

fn shown(given: Option<&str>) -> String {
    given.map(|text| format!(", not `{text}`")).unwrap_or_default()
}

/// Returns at most 40 characters with control characters escaped, so that the message stays one line.
pub(super) fn shorten(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}
