//! Exit codes of the program.

use std::{error::Error, fmt};

use client::{ClientError, ErrorFormat};
use queue::QueueError;
use runtime::config::ConfigError;
use store::StoreError;

/// Description of the codes for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage or configuration
  3  something it needs is unavailable; trying again may help
  4  refused, not found, or there already
  5  not signed in, or the token is no longer valid
  6  still waiting when the time limit ended; the work goes on
  7  differences or faults were found
  130  interrupted
`rts provision --exec` hands on the code of its command.";

const FAILED: u8 = 1;
const CONFIG: u8 = 2;
const UNAVAILABLE: u8 = 3;
const REFUSED: u8 = 4;

/// Failure with an exit code of its own.
#[derive(Debug)]
pub(crate) enum End {
    /// A server is unavailable or unhealthy.
    Unavailable(String),
    /// The request was refused, or its subject does not exist.
    Refused(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(text) | Self::Refused(text) => f.write_str(text),
        }
    }
}

impl Error for End {}

impl End {
    const fn code(&self) -> u8 {
        match self {
            Self::Unavailable(_) => UNAVAILABLE,
            Self::Refused(_) => REFUSED,
        }
    }
}

/// Prints a failure as a sentence, or as a problem document where the command was asked for one.
pub(crate) fn report(error: &anyhow::Error, format: ErrorFormat) {
    let of_client = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>());
    match (of_client, format) {
        (Some(error), _) if error.is_silent() => {}
        (Some(error), ErrorFormat::Json) => client::note(error.to_json()),
        _ => client::note(format_args!("rts: {error:#}")),
    }
}

/// Returns the exit code of the first cause that has one.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(FAILED)
}

fn code_of(cause: &(dyn Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return Some(error.exit_code());
    }
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

    use super::*;

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
