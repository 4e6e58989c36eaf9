//! Settings of the trusted issuers and of key fetches.

use std::time::Duration;

use runtime::config::{IssuerConfig, IssuerPolicy, OutgoingConfig};
use url::Url;

/// One trusted issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Issuer, compared exactly with `iss`.
    pub issuer: String,
    /// Accepted audiences; `aud` must contain one of them.
    pub audiences: Vec<String>,
    /// URL of the keys; `None` means discovery.
    pub jwks_url: Option<Url>,
    /// Short name for logs and metrics.
    pub name: String,
    /// Rights of its tokens beyond naming an identity.
    pub policy: IssuerPolicy,
}

impl From<IssuerConfig> for TrustedIssuer {
    fn from(config: IssuerConfig) -> Self {
        let IssuerConfig { name, issuer, audiences, jwks_url, policy, cli: _, web: _ } = config;
        Self { issuer, audiences, jwks_url, name, policy }
    }
}

/// HTTP settings of key fetches.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Time-out of the connection alone.
    pub connect: Duration,
    /// Time-out of discovery and keys together.
    pub total: Duration,
    /// Trusted certificates and proxy. `None` means the system's certificates and no proxy.
    pub outgoing: Option<OutgoingConfig>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(5), outgoing: None }
    }
}
