//! Settings of the GitHub client: address, scope and credential.

use std::{path::PathBuf, sync::Arc, time::Duration};

use domain::Secret;
use url::{Host, Url};

use crate::key_error::KeyError;

/// All settings of the client. [`crate::GitHub::new`] finds contradictions.
#[derive(Clone, Debug)]
pub struct GitHubSettings {
    /// Base of the REST API: `https://api.github.com`, `https://HOST/api/v3` (the path is kept), or plain `http` on
    /// loopback only.
    pub api_url: Url,
    /// The level at which runners are managed.
    pub scope: Scope,
    /// Credential for all calls.
    pub credential: Credential,
    /// Time-outs of one request.
    pub timeouts: Timeouts,
    /// Text in brackets after the product's name in `User-Agent`, visible ASCII.
    pub user_agent_suffix: Option<String>,
    /// Accept a key file that all users of the machine may read.
    pub allow_insecure_key: bool,
    /// Shortest time between two checks of the key file for changes (default 5 s).
    pub key_check_every: Duration,
    /// Trusted certificates and proxy.
    pub outgoing: Outgoing,
}

/// Network settings for connections to GitHub.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Trusted certificate authorities. `None`: the built-in ones.
    pub roots: Option<Arc<rustls::RootCertStore>>,
    /// Proxy for https. `None`: GitHub is connected directly.
    pub proxy: Option<Proxy>,
}

/// A proxy that supports `CONNECT`.
#[derive(Clone)]
pub struct Proxy {
    /// Its address, http or https, with user and password if it requires them.
    pub url: Secret,
    /// Hosts, domains and networks reached without the proxy, comma-separated.
    pub except: String,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("except", &self.except).finish_non_exhaustive()
    }
}

impl GitHubSettings {
    /// Returns settings with the usual time limits: connect 3 s, total 20 s.
    pub fn new(api_url: Url, scope: Scope, credential: Credential) -> Self {
        Self {
            api_url,
            scope,
            credential,
            timeouts: Timeouts::default(),
            user_agent_suffix: None,
            allow_insecure_key: false,
            key_check_every: Duration::from_secs(5),
            outgoing: Outgoing::default(),
        }
    }
}

/// Time limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name lookup, TCP and TLS together.
    pub connect: Duration,
    /// Total time, from the start of the call to the last byte of the response.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(20) }
    }
}

/// The level at which runners are registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// An organization, by its login.
    Org(String),
    /// One repository.
    Repo {
        /// Login of its owner.
        owner: String,
        /// Its name.
        name: String,
    },
    /// An enterprise, by its slug. GitHub accepts no App tokens there.
    Enterprise(String),
}

/// Credential of the client.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A GitHub App, acting through one of its installations.
    App {
        /// App id or client id: the `iss` of our JWTs.
        app_id: String,
        /// GitHub's id of the installation.
        installation_id: u64,
        /// Source of the App's private key.
        private_key: KeySource,
    },
    /// A personal access token.
    Pat(TokenSource),
}

/// Source of the App's RSA private key.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A PEM file, read again when it changes.
    File(PathBuf),
    /// The PEM text itself.
    Pem(Secret),
}

/// Source of a personal access token.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// A file that contains only the token, read again when it changes.
    File(PathBuf),
    /// The token itself.
    Text(Secret),
}

/// Settings that contradict themselves or GitHub.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not https, and not http on loopback; or with user, query or fragment.
    #[error("the GitHub API URL must be https (http on loopback only), without user, query or fragment")]
    Url,
    /// An empty name, or one that is all dots.
    #[error("`{0}` cannot be an organization, repository or enterprise")]
    Scope(String),
    /// Enterprise runners need a personal access token.
    #[error("GitHub accepts no App tokens at enterprise level: use a personal access token")]
    EnterpriseNeedsPat,
    /// An empty App id or user agent suffix, or one with characters that no header can carry.
    #[error("the {0} is empty or holds characters that cannot be sent")]
    Unsendable(&'static str),
    /// A time limit of zero.
    #[error("time-outs must be more than zero")]
    Timeouts,
    /// The key or token cannot be used.
    #[error("the credential cannot be used")]
    Key(#[from] KeyError),
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Checks all settings that can be checked without I/O.
pub(crate) fn validate(settings: &GitHubSettings) -> Result<(), SettingsError> {
    check_url(&settings.api_url)?;
    if settings.timeouts.connect.is_zero() || settings.timeouts.total.is_zero() {
        return Err(SettingsError::Timeouts);
    }
    for name in settings.scope.names() {
        crate::path::segment(name).map_err(|_| SettingsError::Scope(name.to_owned()))?;
    }
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    match &settings.credential {
        Credential::App { .. } if matches!(settings.scope, Scope::Enterprise(_)) => {
            Err(SettingsError::EnterpriseNeedsPat)
        }
        Credential::App { app_id, .. } if !visible(app_id) => Err(SettingsError::Unsendable("App id")),
        _ => Ok(()),
    }
}

fn check_url(url: &Url) -> Result<(), SettingsError> {
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if scheme && plain && url.host().is_some() { Ok(()) } else { Err(SettingsError::Url) }
}

impl Scope {
    fn names(&self) -> Vec<&str> {
        match self {
            Self::Org(name) | Self::Enterprise(name) => vec![name],
            Self::Repo { owner, name } => vec![owner, name],
        }
    }

    /// Returns the path in front of `/actions/…`.
    pub(crate) fn path(&self) -> Result<String, crate::path::NoSegment> {
        use crate::path::segment;
        Ok(match self {
            Self::Org(name) => format!("/orgs/{}", segment(name)?),
            Self::Repo { owner, name } => format!("/repos/{}/{}", segment(owner)?, segment(name)?),
            Self::Enterprise(name) => format!("/enterprises/{}", segment(name)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> bool {
        check_url(&url.parse().unwrap()).is_ok()
    }

    #[test]
    fn http_is_for_loopback_alone() {
        assert!(check("https://api.github.com"));
        assert!(check("https://ghes.example.com/api/v3"));
        assert!(check("http://127.0.0.1:8080"));
        assert!(check("http://[::1]:8080/api/v3"));
        assert!(check("http://localhost:1"));
        assert!(!check("http://api.github.com"));
        assert!(!check("http://127.0.0.1.example.com"));
        assert!(!check("https://user@api.github.com"));
        assert!(!check("https://api.github.com/?a=1"));
        assert!(!check("ftp://localhost"));
    }

    #[test]
    fn enterprises_need_a_personal_token() {
        let app = Credential::App {
            app_id: "1".into(),
            installation_id: 1,
            private_key: KeySource::Pem(Secret::new("x")),
        };
        let settings = GitHubSettings::new("https://h".parse().unwrap(), Scope::Enterprise("e".into()), app);
        assert!(matches!(validate(&settings), Err(SettingsError::EnterpriseNeedsPat)));
    }

    #[test]
    fn debug_shows_no_secret() {
        let settings = GitHubSettings::new(
            "https://h".parse().unwrap(),
            Scope::Org("o".into()),
            Credential::Pat(TokenSource::Text(Secret::new("canary"))),
        );
        assert!(!format!("{settings:?}").contains("canary"));
    }
}
