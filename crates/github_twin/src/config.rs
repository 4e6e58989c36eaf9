//! Start-up configuration of a twin.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Formatter},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::limits::Limits;

/// Settings of one twin. `TwinConfig::default()` is ready to start: loopback, free ports, GitHub's limits.
#[derive(Clone, Debug)]
pub struct TwinConfig {
    /// Listen address of the API; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Listen address of the control port; `None` opens none.
    pub control_listen: Option<SocketAddr>,
    /// Path before every API route, such as `/api/v3` of an Enterprise Server; empty for none.
    pub base_path: String,
    /// Organisation of the first installation.
    pub org: String,
    /// Names of the repositories of every organisation. A job queued in another one adds it.
    pub repositories: Vec<String>,
    /// Id of the App.
    pub app_id: u64,
    /// URL name of the App.
    pub app_slug: String,
    /// Id of the first installation.
    pub installation_id: u64,
    /// Further installations of the App: (installation id, organisation).
    pub more_installations: Vec<(u64, String)>,
    /// Further Apps, with the key of the first.
    pub more_apps: Vec<MoreApp>,
    /// Slugs of the enterprises. No App is installed there.
    pub enterprises: Vec<String>,
    /// Classic personal access tokens.
    pub personal_tokens: Vec<PersonalToken>,
    /// SPKI or PKCS #1 PEM that verifies App JWTs; `None` uses [`crate::AppKey::shared`].
    pub app_public_key_pem: Option<String>,
    /// Permissions of every installation: name to `read` or `write`.
    pub permissions: BTreeMap<String, String>,
    /// Runner groups of every organisation and enterprise: (id, name); the first is the default group.
    pub groups: Vec<(u64, String)>,
    /// Lifetime of an installation token.
    pub token_life: Duration,
    /// Time after which a just-in-time runner that never connected is removed.
    pub unused_runner_life: Duration,
    /// Time for which a runner that has finished its one job is still listed.
    pub removes_after: Duration,
    /// Rate limits.
    pub limits: Limits,
    /// Text in every private field of a JIT config, so that tests can search outputs for leaks.
    pub canary: String,
    /// Webhook settings; `None` sends none.
    pub webhook: Option<WebhookConfig>,
    /// Most requests and violations kept in the ledger; the counters are not cut.
    pub ledger_capacity: usize,
}

impl Default for TwinConfig {
    fn default() -> Self {
        let permissions = [
            ("actions", "write"),
            ("administration", "write"),
            ("metadata", "read"),
            ("organization_self_hosted_runners", "write"),
        ];
        Self {
            listen: loopback(),
            control_listen: None,
            base_path: String::new(),
            org: "acme".into(),
            repositories: vec!["web".into(), "api".into()],
            app_id: 424_242,
            app_slug: "runner-tokens".into(),
            installation_id: 5_151_515,
            more_installations: Vec::new(),
            more_apps: Vec::new(),
            enterprises: Vec::new(),
            personal_tokens: Vec::new(),
            app_public_key_pem: None,
            permissions: permissions.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            groups: vec![(1, "Default".into())],
            token_life: Duration::from_hours(1),
            unused_runner_life: Duration::from_hours(24),
            removes_after: Duration::ZERO,
            limits: Limits::github(),
            canary: "CANARY-jit-private-key-of-the-twin".into(),
            webhook: None,
            ledger_capacity: 200_000,
        }
    }
}

/// A further App with one installation. Its limits are its own, except the registrations of the organisation.
#[derive(Clone, Debug)]
pub struct MoreApp {
    /// Id of the App.
    pub app_id: u64,
    /// URL name of the App.
    pub slug: String,
    /// Id of its installation.
    pub installation_id: u64,
    /// Organisation of the installation.
    pub org: String,
}

/// A classic personal access token of a user with every right its scopes allow. `Debug` hides the token.
#[derive(Clone)]
pub struct PersonalToken {
    /// The token.
    pub token: String,
    /// Scopes, such as `admin:org` or `manage_runners:enterprise`.
    pub scopes: Vec<String>,
}

impl PersonalToken {
    /// Returns a token with one scope.
    pub fn new(token: impl Into<String>, scope: &str) -> Self {
        Self { token: token.into(), scopes: vec![scope.to_owned()] }
    }
}

impl Debug for PersonalToken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersonalToken").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// Target and secret of webhooks. `Debug` hides the secret.
#[derive(Clone)]
pub struct WebhookConfig {
    /// URL that receives the POSTs.
    pub url: String,
    /// Key of `X-Hub-Signature-256`.
    pub secret: String,
    /// Time-out of a delivery (GitHub: 10 s).
    pub timeout: Duration,
}

impl WebhookConfig {
    /// Returns settings for deliveries to `url`, signed with `secret`, with GitHub's time-out of 10 s.
    pub fn new(url: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { url: url.into(), secret: secret.into(), timeout: Duration::from_secs(10) }
    }
}

impl Debug for WebhookConfig {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Returns the loopback address with a free port.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
