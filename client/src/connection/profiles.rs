//! Profiles: named services with their defaults, in `$XDG_CONFIG_HOME/rts/config.toml`.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::private_file;
use crate::{environment::Environment, error::ClientError, output::Format};

/// One service and the defaults of its commands. It holds no token.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// URL of the service.
    pub(crate) url: String,
    /// Team of a request that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) team: Option<String>,
    /// Output format of a command that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Format>,
    /// Shell command that prints the token, instead of one that `rts login` stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credential_command: Option<String>,
}

/// Content of `config.toml`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    /// Profile in use when none is named.
    #[serde(default, rename = "profile", skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// Profiles by name.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads the file. A missing file has no profiles.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if the file cannot be read, with line and column.
    pub(crate) fn read(environment: &Environment) -> Result<Self, ClientError> {
        let Some(path) = path(environment) else { return Ok(Self::default()) };
        let fault =
            |error: &dyn std::fmt::Display| ClientError::Usage(format!("{}: {error}", path.display()));
        let text = private_file::read_bounded(&path).map_err(|error| fault(&error))?;
        // The file names the service that gets the token, and may name a command.
        if text.is_some() && private_file::is_writable_by_others(&path).map_err(|error| fault(&error))? {
            return Err(fault(&"others may change this file; `chmod 600` it"));
        }
        text.map_or_else(|| Ok(Self::default()), |text| toml::from_str(&text).map_err(|error| fault(&error)))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the file cannot be written.
    pub(crate) fn write(&self, environment: &Environment) -> Result<(), ClientError> {
        let path = path(environment)
            .ok_or_else(|| ClientError::Usage("set HOME or XDG_CONFIG_HOME, to have profiles".into()))?;
        let fault =
            |error: &dyn std::fmt::Display| ClientError::Failed(format!("{}: {error}", path.display()));
        let text = toml::to_string(self).map_err(|error| fault(&error))?;
        private_file::replace(&path, &text).map_err(|error| fault(&error))
    }
}

fn path(environment: &Environment) -> Option<PathBuf> {
    environment.config_folder().map(|folder| folder.join("config.toml"))
}

/// Checks a profile's name: 1 to 64 letters, digits, `-`, `_` and `.`.
///
/// # Errors
/// The fault, as a sentence.
pub(crate) fn check_profile_name(name: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = (1..=64).contains(&name.len()) && name.chars().all(allowed);
    if good { Ok(name.to_owned()) } else { Err("1 to 64 letters, digits, - _ .".to_owned()) }
}
