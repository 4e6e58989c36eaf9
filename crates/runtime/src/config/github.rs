//! Settings of GitHub and the installations. They are not secret; credentials and webhook secrets have their own
//! sections.

mod app;
mod entry;
mod settings;
mod webhooks;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use domain::InstallationId;
use url::Url;

pub use app::{CredentialConfig, GithubAppConfig, MemberConfig};
pub(super) use entry::INSTALLATIONS_KEY;
pub use webhooks::{WebhookConfig, WebhookSecret};

use super::{ConfigError, Mode, Section, Setting, Sources, parse::safe_url};

/// Most installations of one App pool: a claim reads the budgets of all of them.
const MAX_POOL: usize = 16;

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
/// The limit on installations, which the queue's claims need too.
pub(super) const MAX_INSTALLATIONS: Setting = Setting::new(
    "MAX_INSTALLATIONS",
    "a number from 1 to 1000",
    "Installations that the settings may have, further Apps included. A claim that finds nothing examines all that have jobs.",
)
.or("256");

/// All installations of this deployment. Loading them needs no key.
#[derive(Clone, Debug)]
pub struct GithubConfig {
    /// Installations, `default` first, without the further Apps of pools. Ids are unique, and so are owners on one
    /// GitHub.
    pub installations: Vec<InstallationConfig>,
    /// Further Apps, each with the installation whose pool it joins.
    pub further_apps: BTreeMap<InstallationId, InstallationId>,
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
    const SETTINGS: &'static [Setting] = &[API, ORG, ENTERPRISE, GROUP, MAX_INSTALLATIONS];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let default = InstallationConfig {
            id: InstallationId::default(),
            api_url: sources.value(&API, api_url)?,
            owner: owner(sources)?,
            default_runner_group_id: sources.number(&GROUP, 1..=i64::MAX)?,
        };
        let most: usize = sources.number(&MAX_INSTALLATIONS, 1..=1000)?;
        let mut installations = vec![default];
        let mut apps = Vec::new();
        for (index, entry) in entry::all(sources)?.iter().enumerate() {
            match entry.pool(index)? {
                Some(pool) => apps.push((index, entry.id(index)?, pool)),
                None => installations.push(entry.installation(index, &installations[0].api_url)?),
            }
        }
        unique(&installations, &apps, most)?;
        check_pools(&installations, &apps)?;
        let further_apps = apps.into_iter().map(|(_, id, pool)| (id, pool)).collect();
        Ok(Self { installations, further_apps })
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

/// A further App: the index of its table, its id and its pool.
type FurtherApp = (usize, InstallationId, InstallationId);

fn unique(installations: &[InstallationConfig], apps: &[FurtherApp], most: usize) -> Result<(), ConfigError> {
    let all = installations.len() + apps.len();
    let ids: BTreeSet<_> =
        installations.iter().map(|one| &one.id).chain(apps.iter().map(|(_, id, _)| id)).collect();
    let pages: BTreeSet<_> = installations.iter().map(|one| one.web_url().to_lowercase()).collect();
    let fits = all <= most && ids.len() == all && pages.len() == installations.len();
    let expects = format!(
        "with `default` at most {most} installations (`MAX_INSTALLATIONS`), each id once, and each owner once: a second App of an owner joins the first by `pool`"
    );
    fits.then_some(()).ok_or_else(|| contradiction(INSTALLATIONS_KEY, expects))
}

fn check_pools(installations: &[InstallationConfig], apps: &[FurtherApp]) -> Result<(), ConfigError> {
    let mut sizes: BTreeMap<&InstallationId, usize> = installations.iter().map(|one| (&one.id, 1)).collect();
    for (index, _, pool) in apps {
        let size = sizes.get_mut(pool).ok_or_else(|| entry::bad(*index, "pool", entry::POOL))?;
        *size += 1;
        if *size > MAX_POOL {
            return Err(entry::bad(*index, "pool", &format!("a pool of at most {MAX_POOL} installations")));
        }
    }
    Ok(())
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
