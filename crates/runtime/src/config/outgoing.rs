//! Settings of outgoing connections: trusted certificates and the proxy.

use std::path::{Path, PathBuf};

use url::Url;

use super::{ConfigError, Section, Setting, Sources};
use crate::Trust;

const CERT_FILE: Setting = Setting::new(
    "SSL_CERT_FILE",
    "the path of a readable PEM file with certificates",
    "The certificate authorities to trust in every outgoing TLS connection, instead of the system's.",
);
const EXTRA_CA: Setting = Setting::new(
    "EXTRA_CA_FILE",
    "the path of a readable PEM file with certificates",
    "Further certificate authorities to trust in every outgoing TLS connection: GitHub, the issuers, PostgreSQL, Redis.",
);
const PROXY: Setting = Setting::new(
    "HTTPS_PROXY",
    "an http or https URL of a proxy, with user and password if need be",
    "The proxy for requests to GitHub and to the issuers. PostgreSQL and Redis are reached directly.",
)
.secret();
const NO_PROXY: Setting = Setting::new(
    "NO_PROXY",
    "up to 100 hosts, domains and networks, or *",
    "Hosts reached without the proxy; this machine is always one of them.",
)
.list();

/// This machine, in the notation of `NO_PROXY`.
const LOOPBACK: &str = "localhost,.localhost,127.0.0.0/8,::1";

/// Settings of outgoing connections.
#[derive(Clone, Debug)]
pub struct OutgoingConfig {
    /// Trusted certificates of every TLS connection.
    pub trust: Trust,
    /// Proxy for HTTPS.
    pub proxy: Option<ProxyConfig>,
}

/// A proxy. `Debug` omits its password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// URL of the proxy, including user and password.
    pub url: Url,
    /// Comma-separated hosts reached without the proxy; they always include this machine.
    pub except: String,
}

impl std::fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyConfig")
            .field("host", &self.url.host_str())
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}

impl Section for OutgoingConfig {
    const TITLE: &'static str = "Outgoing connections";
    const SETTINGS: &'static [Setting] = &[CERT_FILE, EXTRA_CA, PROXY, NO_PROXY];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let own = certificates(sources, &CERT_FILE)?;
        let extra = certificates(sources, &EXTRA_CA)?;
        let except = sources.items(&NO_PROXY, 100, |text| Some(text.to_owned()))?;
        let except = std::iter::once(LOOPBACK.to_owned()).chain(except).collect::<Vec<_>>().join(",");
        let proxy = sources.optional(&PROXY, proxy)?.map(|url| ProxyConfig { url, except });
        Ok(Self { trust: Trust::new(own, extra.unwrap_or_default()), proxy })
    }
}

fn certificates(
    sources: &Sources,
    setting: &Setting,
) -> Result<Option<Vec<crate::trust::Certificate>>, ConfigError> {
    let path = sources.optional(setting, |text| Some(PathBuf::from(text)))?;
    let Some(path) = path else { return Ok(None) };
    let read = |path: &Path| crate::trust::read(path);
    let refused = || ConfigError::Bad {
        place: setting.name.to_owned(),
        expects: setting.expects.to_owned(),
        given: Some(super::error::shorten(&path.display().to_string())),
    };
    read(&path).map(Some).ok_or_else(refused)
}

/// Reads a proxy's address; without a scheme it means plain http, as in other programs.
fn proxy(text: &str) -> Option<Url> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
