//! Settings of GitHub and the installations. They are not secret; credentials and webhook secrets have their own
//! sections.

mod app;
mod entry;
mod settings;
mod webhooks;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use domain::InstallationId;
use url::Url;

pub use app::{CredentialConfig, GithubAppConfig, MemberConfig};
pub(super) use entry::INSTALLATIONS_KEY;
pub use webhooks::{WebhookConfig, WebhookSecret};

use super::{ConfigError, Mode, Section, Setting, Sources, parse::safe_url};

/// Maximum number of installations of a deployment, as one claim examines all of them.
const MAX_INSTALLATIONS: usize = 64;

const API: Setting = Setting::new(
    "GITHUB_API_URL",
    "an https URL (http only on loopback)",
    "GitHub's API; for GitHub Enterprise Server `https://HOST/api/v3`.",
)
.or("https://api.github.com");
const ORG: Setting = Setting::new(
    "GITHUB_ORG",
    "an organisation's login: up to 39 letters, digits and hyphens",
    "The organisation the runners belong to. This and the App below are the installation `default`; more go into the \
     file as `[[github_installations]]` tables.",
)
.required();
const ENTERPRISE: Setting = Setting::new(
    "GITHUB_ENTERPRISE",
    "an enterprise's slug: up to 60 letters, digits, hyphens and underscores",
    "The enterprise the runners belong to, instead of `GITHUB_ORG`. Needs `GITHUB_TOKEN_PATH`.",
);
const GROUP: Setting = Setting::new(
    "DEFAULT_RUNNER_GROUP_ID",
    "a positive number",
    "The runner group used when a request names none.",
)
.or("1");

/// All installations of this deployment. Loading them needs no key.
#[derive(Clone, Debug)]
pub struct GithubConfig {
    /// Installations, `default` first. Ids are unique, and so are owners on one GitHub.
    pub installations: Vec<InstallationConfig>,
}

/// One organisation, repository or enterprise on one GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationConfig {
    /// Id used in rows, keys and metrics.
    pub id: InstallationId,
    /// URL of GitHub's API.
    pub api_url: Url,
    /// Owner of the runners.
    pub owner: GithubOwner,
    /// Runner group for requests that name none.
    pub default_runner_group_id: i64,
}

/// Owner of runners on GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GithubOwner {
    /// An organisation, by its login.
    Org(String),
    /// A repository: its owner's login and its name.
    Repository(String, String),
    /// An enterprise, by its slug.
    Enterprise(String),
}

impl InstallationConfig {
    /// Returns the owner's web page, with which runners are configured: `https://github.com/ORG`.
    pub fn web_url(&self) -> String {
        let host = self.api_url.host_str().unwrap_or_default();
        let port = self.api_url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let web = match host.strip_prefix("api.") {
            Some(rest) if rest == "github.com" || rest.ends_with(".ghe.com") => rest,
            _ => host,
        };
        let path = match &self.owner {
            GithubOwner::Org(org) => org.clone(),
            GithubOwner::Repository(owner, name) => format!("{owner}/{name}"),
            GithubOwner::Enterprise(slug) => format!("enterprises/{slug}"),
        };
        format!("{}://{web}{port}/{path}", self.api_url.scheme())
    }
}

impl Section for GithubConfig {
    const TITLE: &'static str = "GitHub";
    const SETTINGS: &'static [Setting] = &[API, ORG, ENTERPRISE, GROUP];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let default = InstallationConfig {
            id: InstallationId::default(),
            api_url: sources.value(&API, api_url)?,
            owner: owner(sources)?,
            default_runner_group_id: sources.number(&GROUP, 1..=i64::MAX)?,
        };
        let mut installations = vec![default];
        for (index, entry) in entry::all(sources)?.iter().enumerate() {
            let one = entry.installation(index, &installations[0].api_url)?;
            installations.push(one);
        }
        unique(&installations)?;
        Ok(Self { installations })
    }
}

/// Returns the owner of the installation `default`.
fn owner(sources: &Sources) -> Result<GithubOwner, ConfigError> {
    match (sources.given(&ORG)?, sources.given(&ENTERPRISE)?) {
        (Some(_), Some(_)) => Err(contradiction(ENTERPRISE.name, "unset while GITHUB_ORG is set")),
        (None, Some(given)) => slug(&given.text).map(GithubOwner::Enterprise).ok_or_else(|| given.bad()),
        (Some(given), None) => login(&given.text).map(GithubOwner::Org).ok_or_else(|| given.bad()),
        (None, None) => Err(ORG.missing()),
    }
}

fn unique(installations: &[InstallationConfig]) -> Result<(), ConfigError> {
    let ids: BTreeSet<_> = installations.iter().map(|one| &one.id).collect();
    let pages: BTreeSet<_> = installations.iter().map(|one| one.web_url().to_lowercase()).collect();
    let fits = installations.len() <= MAX_INSTALLATIONS
        && ids.len() == installations.len()
        && pages.len() == installations.len();
    let expects =
        format!("with `default` at most {MAX_INSTALLATIONS} installations, each id and each owner once");
    fits.then_some(()).ok_or_else(|| contradiction(INSTALLATIONS_KEY, expects))
}

/// Returns a refusal that quotes no value.
fn contradiction(place: impl Into<String>, expects: impl Into<String>) -> ConfigError {
    ConfigError::Bad { place: place.into(), expects: expects.into(), given: None }
}

fn api_url(text: &str) -> Option<Url> {
    safe_url(text).filter(|url| url.query().is_none())
}

/// Reads a login. Logins of enterprise managed users end in `_` and the enterprise's short code.
fn login(text: &str) -> Option<String> {
    let fits = (1..=39).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    fits.then(|| text.to_owned())
}

fn slug(text: &str) -> Option<String> {
    let fits = (1..=60).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    fits.then(|| text.to_owned())
}

/// Returns the path if it is a file that is not readable or writable by all users; development mode accepts any file.
pub(super) fn secret_file(path: &Path, mode: Mode) -> Option<PathBuf> {
    let data = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let safe = !open_to_others(&data) || mode == Mode::Development;
    (safe && fs::File::open(path).is_ok()).then(|| path.to_path_buf())
}

#[cfg(unix)]
fn open_to_others(data: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    data.permissions().mode() & 0o007 != 0
}

#[cfg(not(unix))]
fn open_to_others(_: &fs::Metadata) -> bool {
    false
}
