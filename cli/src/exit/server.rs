//! Exit codes of the server parts and of the operator's commands.

use std::{error::Error, fmt};

use queue::QueueError;
use runtime::config::ConfigError;
use store::StoreError;

const CONFIG: u8 = 2;
const UNAVAILABLE: u8 = 3;
const REFUSED: u8 = 4;
const FINDINGS: u8 = 7;

/// Failure with an exit code of its own.
#[derive(Debug)]
pub(crate) enum End {
    /// A server is unavailable or unhealthy.
    Unavailable(String),
    /// The request was refused, or its subject does not exist.
    Refused(String),
    /// A check has found something; it was printed.
    Findings(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(text) | Self::Refused(text) | Self::Findings(text) => f.write_str(text),
        }
    }
}

impl Error for End {}

impl End {
    const fn code(&self) -> u8 {
        match self {
            Self::Unavailable(_) => UNAVAILABLE,
            Self::Refused(_) => REFUSED,
            Self::Findings(_) => FINDINGS,
        }
    }
}

/// Returns the exit code of a cause, if it has one.
pub(super) fn code_of(cause: &(dyn Error + 'static)) -> Option<u8> {
    if let Some(end) = cause.downcast_ref::<End>() {
        return Some(end.code());
    }
    if cause.is::<ConfigError>() || cause.is::<github::SettingsError>() {
        return Some(CONFIG);
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return match error {
            StoreError::Unavailable(_) | StoreError::MigrationBlocked { .. } => Some(UNAVAILABLE),
            StoreError::Conflict(_) | StoreError::Role(_) => Some(REFUSED),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<QueueError>() {
        return Some(if error.is_transient() { UNAVAILABLE } else { CONFIG });
    }
    let away = |error: &reqwest::Error| error.is_connect() || error.is_timeout();
    cause.downcast_ref::<reqwest::Error>().filter(|error| away(error)).map(|_| UNAVAILABLE)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use client::ClientError;

    use super::{
        super::{FAILED, code},
        *,
    };

    #[test]
    fn code_is_found_below_the_context() {
        let missing = ConfigError::Missing { name: "DATABASE_URL", expects: "a URL".to_owned() };
        let error = Err::<(), _>(missing).context("cannot start").unwrap_err();
        assert_eq!(code(&error), CONFIG);
        assert_eq!(code(&anyhow::anyhow!("something")), FAILED);
        assert_eq!(code(&StoreError::Conflict("teams_name_key".into()).into()), REFUSED);
        assert_eq!(code(&QueueError::Timeout.into()), UNAVAILABLE);
        assert_eq!(code(&QueueError::BadNamespace.into()), CONFIG);
        assert_eq!(code(&End::Unavailable("away".into()).into()), UNAVAILABLE);
        assert_eq!(code(&ClientError::SignedOut("no token".into()).into()), 5);
    }
}
