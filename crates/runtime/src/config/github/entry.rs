//! Further installations: the file's `[[github_installations]]` tables.

use std::path::Path;

use domain::InstallationId;
use serde::Deserialize;
use url::Url;

use super::{
    API, CredentialConfig, ENTERPRISE, GithubOwner, InstallationConfig, MemberConfig, ORG, api_url,
    contradiction, login, secret_file,
    settings::{APP, INSTALLATION, KEY_PATH, TOKEN_PATH},
    slug,
};
use crate::config::{ConfigError, Mode, Sources};

/// Key of the file's array of tables.
pub(in crate::config) const INSTALLATIONS_KEY: &str = "github_installations";

/// Valid values of `pool`.
pub(super) const POOL: &str = "the id of an installation that has no `pool` of its own";

/// One table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstallationEntry {
    id: String,
    pool: Option<String>,
    org: Option<String>,
    enterprise: Option<String>,
    repository: Option<String>,
    api_url: Option<String>,
    app_id: Option<u64>,
    app_installation_id: Option<u64>,
    private_key_path: Option<String>,
    token_path: Option<String>,
    rate_limits: Option<bool>,
    pub(super) webhook_secret_path: Option<String>,
    default_runner_group_id: Option<i64>,
}

/// Returns the tables, in order.
pub(super) fn all(sources: &Sources) -> Result<Vec<InstallationEntry>, ConfigError> {
    sources.tables(INSTALLATIONS_KEY)
}

/// Returns the refusal of one field.
pub(super) fn bad(index: usize, field: &str, expects: &str) -> ConfigError {
    contradiction(format!("{INSTALLATIONS_KEY}[{index}].{field}"), expects)
}

impl InstallationEntry {
    /// Returns the installation's id; `default` is reserved for the flat settings.
    pub(super) fn id(&self, index: usize) -> Result<InstallationId, ConfigError> {
        let id = self.id.parse().ok().filter(|id| *id != InstallationId::default());
        id.ok_or_else(|| bad(index, "id", "1 to 40 characters of a-z, 0-9 and -, and not `default`"))
    }

    /// Returns the installation whose App pool this one joins.
    pub(super) fn pool(&self, index: usize) -> Result<Option<InstallationId>, ConfigError> {
        let Some(text) = &self.pool else { return Ok(None) };
        let own = [&self.org, &self.enterprise, &self.repository, &self.api_url];
        if own.iter().any(|field| field.is_some()) || self.default_runner_group_id.is_some() {
            let expects = "left out where the owner, `api_url` or `default_runner_group_id` is given: they are those of the pool";
            return Err(bad(index, "pool", expects));
        }
        text.parse().map(Some).map_err(|_| bad(index, "pool", POOL))
    }

    /// Returns the settings that are not secret. The API is that of `GITHUB_API_URL` unless the table names another.
    pub(super) fn installation(&self, index: usize, common: &Url) -> Result<InstallationConfig, ConfigError> {
        let url = match &self.api_url {
            Some(text) => api_url(text).ok_or_else(|| bad(index, "api_url", API.expects))?,
            None => common.clone(),
        };
        let group = self.default_runner_group_id.unwrap_or(1);
        if group < 1 {
            return Err(bad(index, "default_runner_group_id", "a positive number"));
        }
        Ok(InstallationConfig {
            id: self.id(index)?,
            api_url: url,
            owner: self.owner(index)?,
            default_runner_group_id: group,
        })
    }

    fn owner(&self, index: usize) -> Result<GithubOwner, ConfigError> {
        match (&self.org, &self.enterprise, &self.repository) {
            (Some(text), None, None) => {
                login(text).map(GithubOwner::Org).ok_or_else(|| bad(index, "org", ORG.expects))
            }
            (None, Some(text), None) => slug(text)
                .map(GithubOwner::Enterprise)
                .ok_or_else(|| bad(index, "enterprise", ENTERPRISE.expects)),
            (None, None, Some(text)) => repository(text)
                .ok_or_else(|| bad(index, "repository", "`owner/name` as in a repository's address")),
            _ => Err(bad(
                index,
                "org",
                "given, or else one of `enterprise` and `repository`, and only one of them",
            )),
        }
    }

    /// Returns the credential.
    pub(super) fn member(&self, index: usize, mode: Mode) -> Result<MemberConfig, ConfigError> {
        let file = |path: &String, field: &str, expects: &str| {
            secret_file(Path::new(path), mode).ok_or_else(|| bad(index, field, expects))
        };
        let app = (self.app_id, self.app_installation_id, &self.private_key_path);
        let credential = match (app, &self.token_path) {
            ((None, None, None), Some(path)) => {
                CredentialConfig::Token { path: file(path, "token_path", TOKEN_PATH.expects)? }
            }
            (_, Some(_)) => {
                return Err(bad(
                    index,
                    "token_path",
                    "left out where an App is given: one credential for each",
                ));
            }
            (_, None) if self.enterprise.is_some() => {
                let expects = "given: GitHub accepts no App for an enterprise, only a personal access token";
                return Err(bad(index, "token_path", expects));
            }
            ((Some(app_id), Some(installation), Some(path)), None) => CredentialConfig::App {
                app_id: Some(app_id).filter(|id| *id > 0).ok_or_else(|| bad(index, "app_id", APP.expects))?,
                app_installation_id: Some(installation)
                    .filter(|id| *id > 0)
                    .ok_or_else(|| bad(index, "app_installation_id", INSTALLATION.expects))?,
                private_key_path: file(path, "private_key_path", KEY_PATH.expects)?,
            },
            _ => {
                let expects =
                    "given, with `app_installation_id` and `private_key_path`; or else `token_path`";
                return Err(bad(index, "app_id", expects));
            }
        };
        Ok(MemberConfig {
            id: self.id(index)?,
            pool: self.pool(index)?,
            credential,
            rate_limits: self.rate_limits.unwrap_or(true),
        })
    }
}

fn repository(text: &str) -> Option<GithubOwner> {
    let (owner, name) = text.split_once('/')?;
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let fits = (1..=100).contains(&name.len()) && name.bytes().all(named) && !matches!(name, "." | "..");
    login(owner).filter(|_| fits).map(|owner| GithubOwner::Repository(owner, name.to_owned()))
}
