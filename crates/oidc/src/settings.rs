//! The issuers whose tokens are believed, and how their keys are fetched.

use std::time::Duration;

use runtime::config::{IssuerConfig, IssuerPolicy, OutgoingConfig};
use url::Url;

/// An issuer whose tokens are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Compared letter for letter with `iss`.
    pub issuer: String,
    /// One of them must be in `aud`.
    pub audiences: Vec<String>,
    /// Where its keys are; `None` means discovery.
    pub jwks_url: Option<Url>,
    /// A short name for logs and metrics.
    pub name: String,
    /// What its tokens may do beyond naming an identity.
    pub policy: IssuerPolicy,
}

impl From<IssuerConfig> for TrustedIssuer {
    fn from(config: IssuerConfig) -> Self {
        let IssuerConfig { name, issuer, audiences, jwks_url, policy } = config;
        Self { issuer, audiences, jwks_url, name, policy }
    }
}

/// How keys are fetched.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// For the connection alone.
    pub connect: Duration,
    /// For discovery and keys together.
    pub total: Duration,
    /// Whom to trust and which proxy to use. `None`: the system's certificates and no proxy.
    pub outgoing: Option<OutgoingConfig>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(5), outgoing: None }
    }
}
