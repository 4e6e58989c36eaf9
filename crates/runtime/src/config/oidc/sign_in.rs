//! Settings of sign-ins at an issuer: by the command line, and to the dashboard.

use std::path::PathBuf;

use super::super::{ConfigError, Setting, Sources, parse::short_text};

const SCOPE_LIMIT: usize = 16;
const DEFAULT_SCOPES: [&str; 3] = ["openid", "email", "offline_access"];

pub(super) const CLI_CLIENT: Setting = Setting::new(
    "OIDC_CLI_CLIENT_ID",
    "1 to 255 characters",
    "Client id of a public client of `OIDC_ISSUER` with the device flow, for `rts login`. Without it: `--with-token` alone.",
);
pub(super) const CLI_SCOPES: Setting = Setting::new(
    "OIDC_CLI_SCOPES",
    "1 to 16 scopes of up to 255 characters",
    "Scopes that `rts login` asks `OIDC_ISSUER` for. `offline_access` gives a token that refreshes the session.",
)
.or("openid,email,offline_access")
.list();
pub(super) const WEB_CLIENT: Setting = Setting::new(
    "OIDC_CLIENT_ID",
    "1 to 255 characters",
    "Client id of the dashboard at `OIDC_ISSUER`, with the authorization code flow and the redirect address \
     `PUBLIC_URL` + `/session/callback`. Without it: no sign-in there.",
);
pub(super) const WEB_SECRET: Setting = Setting::new(
    "OIDC_CLIENT_SECRET_PATH",
    "the path of a file",
    "File with the secret of `OIDC_CLIENT_ID`, read at each sign-in. Without it: a public client, with PKCE alone.",
);

/// Sign-in of the command line at one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliSignIn {
    /// Client id of a public client with the device flow.
    pub client_id: String,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
}

/// Sign-in to the dashboard at one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSignIn {
    /// Client id of a client with the authorization code flow.
    pub client_id: String,
    /// File with its secret; `None` for a public client.
    pub secret_path: Option<PathBuf>,
}

impl CliSignIn {
    /// Reads the settings of `OIDC_ISSUER`.
    pub(super) fn load(sources: &Sources) -> Result<Option<Self>, ConfigError> {
        let scopes = sources.items(&CLI_SCOPES, SCOPE_LIMIT, scope)?;
        let client = sources.optional(&CLI_CLIENT, |text| short_text(text, 255))?;
        Ok(client.map(|client_id| Self { client_id, scopes }))
    }

    /// Checks the values of a table. `bad` makes the error of a field.
    pub(super) fn check(
        client: Option<&str>,
        given: Option<Vec<String>>,
        bad: impl Fn(&str, &str) -> ConfigError,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(client) = client else { return Ok(None) };
        Ok(Some(Self {
            client_id: short_text(client, 255).ok_or_else(|| bad("cli_client_id", CLI_CLIENT.expects))?,
            scopes: scopes(given).ok_or_else(|| bad("cli_scopes", CLI_SCOPES.expects))?,
        }))
    }
}

impl WebSignIn {
    /// Reads the settings of `OIDC_ISSUER`.
    pub(super) fn load(sources: &Sources) -> Result<Option<Self>, ConfigError> {
        let client = sources.optional(&WEB_CLIENT, |text| short_text(text, 255))?;
        let secret_path = sources.optional(&WEB_SECRET, path)?;
        Ok(client.map(|client_id| Self { client_id, secret_path }))
    }

    /// Checks the values of a table. `bad` makes the error of a field.
    pub(super) fn check(
        client: Option<&str>,
        secret: Option<&str>,
        bad: impl Fn(&str, &str) -> ConfigError,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(client) = client else { return Ok(None) };
        Ok(Some(Self {
            client_id: short_text(client, 255).ok_or_else(|| bad("client_id", WEB_CLIENT.expects))?,
            secret_path: match secret {
                Some(text) => Some(path(text).ok_or_else(|| bad("client_secret_path", WEB_SECRET.expects))?),
                None => None,
            },
        }))
    }
}

fn path(text: &str) -> Option<PathBuf> {
    short_text(text, 4096).map(PathBuf::from)
}

/// Reads one scope (RFC 6749, section 3.3).
fn scope(text: &str) -> Option<String> {
    short_text(text, 255).filter(|scope| scope.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Reads the scopes of a table, or the usual ones.
fn scopes(given: Option<Vec<String>>) -> Option<Vec<String>> {
    let Some(given) = given else { return Some(DEFAULT_SCOPES.map(str::to_owned).to_vec()) };
    let scopes: Option<Vec<String>> = given.iter().map(|text| scope(text)).collect();
    scopes.filter(|scopes| (1..=SCOPE_LIMIT).contains(&scopes.len()))
}
