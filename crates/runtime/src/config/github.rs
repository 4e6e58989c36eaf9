//! GitHub: where it is, which organisation, and the App that may act there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use domain::{InstallationId, Secret};
use url::Url;

use super::{ConfigError, Mode, Section, Setting, Sources, parse::safe_url};

const API: Setting = Setting::new(
    "GITHUB_API_URL",
    "an https URL (http only on loopback)",
    "GitHub's API; for GitHub Enterprise Server `https://HOST/api/v3`.",
)
.or("https://api.github.com");
const ORG: Setting = Setting::new(
    "GITHUB_ORG",
    "an organisation's login: up to 39 letters, digits and hyphens",
    "The organisation the runners belong to.",
)
.required();
const WEBHOOK: Setting = Setting::new(
    "GITHUB_WEBHOOK_SECRET",
    "a secret of 16 to 1024 characters",
    "The secret webhooks are signed with. Without it webhooks are refused.",
)
.secret();
const GROUP: Setting = Setting::new(
    "DEFAULT_RUNNER_GROUP_ID",
    "a positive number",
    "The runner group used when a request names none.",
)
.or("1");
const APP: Setting = Setting::new("GITHUB_APP_ID", "a positive number", "The GitHub App's id.").required();
const INSTALLATION: Setting = Setting::new(
    "GITHUB_APP_INSTALLATION_ID",
    "a positive number",
    "The id of the App's installation in the organisation.",
)
.required();
const KEY_PATH: Setting = Setting::new(
    "GITHUB_APP_PRIVATE_KEY_PATH",
    "the path of a readable PEM file that others cannot read (mode 0600 or 0640)",
    "The App's private key. It is read again when the file changes.",
)
.required();

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

/// Where GitHub is and which organisation is served. Needs no key.
#[derive(Clone, Debug)]
pub struct GithubConfig {
    /// The name of this installation in rows, keys and metrics; `default` while there is one.
    pub installation: InstallationId,
    /// GitHub's API.
    pub api_url: Url,
    /// The organisation's login.
    pub org: String,
    /// The webhooks' secret; without it webhooks are refused.
    pub webhook_secret: Option<Secret>,
    /// The runner group used when a request names none.
    pub default_runner_group_id: i64,
}

impl GithubConfig {
    /// The organisation's page on the web, which runners are configured with: `https://github.com/ORG`.
    pub fn org_url(&self) -> String {
        let host = self.api_url.host_str().unwrap_or_default();
        let port = self.api_url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let web = if host == "api.github.com" { "github.com" } else { host };
        format!("{}://{web}{port}/{}", self.api_url.scheme(), self.org)
    }
}

impl Section for GithubConfig {
    const TITLE: &'static str = "GitHub";
    const SETTINGS: &'static [Setting] = &[API, ORG, WEBHOOK, GROUP];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let secret_fits = |text: &str| {
            let long_enough = text.len() >= 16 || sources.mode() == Mode::Development;
            (long_enough && text.len() <= 1024).then(|| Secret::new(text))
        };
        Ok(Self {
            installation: InstallationId::default(),
            api_url: sources.value(&API, |text| safe_url(text).filter(|url| url.query().is_none()))?,
            org: sources.value(&ORG, login)?,
            webhook_secret: sources.optional(&WEBHOOK, secret_fits)?,
            default_runner_group_id: sources.number(&GROUP, 1..=i64::MAX)?,
        })
    }
}

/// The App and its key; only processes that call GitHub load it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubAppConfig {
    /// The App's id.
    pub app_id: u64,
    /// The installation's id at GitHub.
    pub app_installation_id: u64,
    /// The private key's file; existed and was not world-readable when the section was loaded.
    pub private_key_path: PathBuf,
    /// Whether GitHub limits requests.
    pub rate_limits: bool,
    /// Jobs of one team that run at a time.
    pub team_running: u32,
}

impl Section for GithubAppConfig {
    const TITLE: &'static str = "GitHub App";
    const SETTINGS: &'static [Setting] = &[APP, INSTALLATION, KEY_PATH, LIMITS, TEAM_RUNNING];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mode = sources.mode();
        Ok(Self {
            app_id: sources.number(&APP, 1..=u64::MAX)?,
            app_installation_id: sources.number(&INSTALLATION, 1..=u64::MAX)?,
            private_key_path: sources.value(&KEY_PATH, |text| key_file(Path::new(text), mode))?,
            rate_limits: sources.flag(&LIMITS)?,
            team_running: sources.number(&TEAM_RUNNING, 1..=100_000)?,
        })
    }
}

fn login(text: &str) -> Option<String> {
    let fits = (1..=39).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then(|| text.to_owned())
}

/// The path, if it is a file of ours to trust: not readable or writable by everyone (unless in development).
fn key_file(path: &Path, mode: Mode) -> Option<PathBuf> {
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
