//! Credentials for GitHub: an App with its key, or a personal access token, for each installation.

use std::path::{Path, PathBuf};

use domain::InstallationId;

use super::{
    ENTERPRISE, contradiction, entry, secret_file,
    settings::{APP, INSTALLATION, KEY_PATH, TOKEN_PATH},
};
use crate::config::{ConfigError, Section, Setting, Sources};

const LIMITS: Setting = Setting::new(
    "GITHUB_RATE_LIMITS",
    "true or false",
    "Whether GitHub limits requests. GitHub Enterprise Server does not, unless its operator says so: then false.",
)
.or("true");
const TEAM_RUNNING: Setting = Setting::new(
    "TEAM_MAX_RUNNING_JOBS",
    "a number from 1 to 100000",
    "Jobs of one team that run at a time; further ones let other teams go first.",
)
.or("40");

/// Credentials of all installations, loaded only by processes that call GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubAppConfig {
    /// Credentials, `default` first.
    pub members: Vec<MemberConfig>,
    /// Number of jobs of one team that may run concurrently.
    pub team_running: u32,
}

/// Credential of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// Id of the installation.
    pub id: InstallationId,
    /// The App pool whose further App it is.
    pub pool: Option<InstallationId>,
    /// Credential.
    pub credential: CredentialConfig,
    /// Whether this GitHub enforces rate limits.
    pub rate_limits: bool,
}

/// A credential. When the section was loaded, its file existed and was not world-readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialConfig {
    /// A GitHub App.
    App {
        /// Id of the App.
        app_id: u64,
        /// GitHub's id of the App installation.
        app_installation_id: u64,
        /// File with the private key.
        private_key_path: PathBuf,
    },
    /// A personal access token.
    Token {
        /// File with the token.
        path: PathBuf,
    },
}

impl Section for GithubAppConfig {
    const TITLE: &'static str = "GitHub App";
    const SETTINGS: &'static [Setting] = &[APP, INSTALLATION, KEY_PATH, TOKEN_PATH, LIMITS, TEAM_RUNNING];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let default = MemberConfig {
            id: InstallationId::default(),
            pool: None,
            credential: credential(sources)?,
            rate_limits: sources.flag(&LIMITS)?,
        };
        let mut members = vec![default];
        for (index, entry) in entry::all(sources)?.iter().enumerate() {
            let member = entry.member(index, sources.mode())?;
            members.push(member);
        }
        Ok(Self { members, team_running: sources.number(&TEAM_RUNNING, 1..=100_000)? })
    }
}

/// Returns the credential of the installation `default`.
fn credential(sources: &Sources) -> Result<CredentialConfig, ConfigError> {
    let mode = sources.mode();
    let file = |setting: &Setting| sources.value(setting, |text| secret_file(Path::new(text), mode));
    let given = [&APP, &INSTALLATION, &KEY_PATH].into_iter().find(|one| sources.has(one.name));
    match (sources.has(TOKEN_PATH.name), given) {
        (true, Some(one)) => {
            Err(contradiction(one.name, "unset while GITHUB_TOKEN_PATH is set: one credential for each"))
        }
        (true, None) => Ok(CredentialConfig::Token { path: file(&TOKEN_PATH)? }),
        (false, _) if sources.has(ENTERPRISE.name) => {
            let expects = "set: GitHub accepts no App for an enterprise, only a personal access token";
            Err(contradiction(TOKEN_PATH.name, expects))
        }
        (false, _) => Ok(CredentialConfig::App {
            app_id: sources.number(&APP, 1..=u64::MAX)?,
            app_installation_id: sources.number(&INSTALLATION, 1..=u64::MAX)?,
            private_key_path: file(&KEY_PATH)?,
        }),
    }
}
