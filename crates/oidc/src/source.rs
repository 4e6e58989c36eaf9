//! The source of an issuer's keys: its JWKS URL, configured or discovered.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, AGE, DATE, HeaderMap, HeaderName},
};
use runtime::{
    Clock, Witness,
    config::{is_loopback, safe_url},
    http_client,
};
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use super::{
    error::FetchError,
    keys::KeySet,
    settings::{HttpSettings, TrustedIssuer},
};

/// Maximum size of a response, in bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// Accepted content types (RFC 7517, 8.5). Some providers answer 406 to a request that accepts `application/json`
/// alone.
const ACCEPTED_CONTENT_TYPES: &str = "application/json, application/jwk-set+json";

/// Builds the HTTP client. Redirects are not followed: keys come only from the configured URL or the one in the
/// issuer's document.
pub(super) fn client(http: &HttpSettings) -> Result<Client, reqwest::Error> {
    http_client(http.outgoing.as_ref(), http.connect, http.total)
}

/// Source of one issuer's keys.
pub(super) struct KeySource {
    client: Client,
    total: Duration,
    clock: Clock,
    issuer: String,
    jwks_url: Option<Url>,
}

/// Discovery document of an issuer, as far as it is used (OIDC Discovery 1.0, section 3).
#[derive(Deserialize)]
pub(super) struct Discovered {
    issuer: String,
    jwks_uri: String,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) end_session_endpoint: Option<String>,
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl KeySource {
    pub(super) fn new(client: Client, total: Duration, clock: Clock, trusted: &TrustedIssuer) -> Self {
        let jwks_url = trusted.jwks_url.clone();
        Self { jwks_url, ..Self::of_issuer(client, total, clock, trusted.issuer.clone()) }
    }

    /// Returns the source of an issuer, found by discovery.
    pub(super) fn of_issuer(client: Client, total: Duration, clock: Clock, issuer: String) -> Self {
        Self { client, total, clock, issuer, jwks_url: None }
    }

    /// Returns the HTTP client.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Fetches the currently published keys, including discovery, within the total time-out.
    pub(super) async fn fetch(&self) -> Result<KeySet, FetchError> {
        let fetch = async {
            let url = match &self.jwks_url {
                Some(url) => url.clone(),
                None => self.discover_keys().await?,
            };
            KeySet::parse(&self.get(url).await?)
        };
        timeout(self.total, fetch).await.map_err(|_| FetchError::TimedOut)?
    }

    /// Discovers the JWKS URL.
    async fn discover_keys(&self) -> Result<Url, FetchError> {
        let malformed = || FetchError::Malformed("the discovery document");
        let from_loopback = Url::parse(&self.issuer).is_ok_and(|url| is_loopback(&url));
        let found = self.discover().await?;
        // Only an issuer on this machine may refer to a URL on this machine.
        safe_url(&found.jwks_uri).filter(|uri| from_loopback || !is_loopback(uri)).ok_or_else(malformed)
    }

    /// Fetches the discovery document. It must name exactly the requested issuer (OIDC Discovery 1.0, section 4).
    pub(super) async fn discover(&self) -> Result<Discovered, FetchError> {
        let malformed = || FetchError::Malformed("the discovery document");
        let base = self.issuer.trim_end_matches('/');
        let url = Url::parse(&format!("{base}/.well-known/openid-configuration")).map_err(|_| malformed())?;
        let found: Discovered = serde_json::from_slice(&self.get(url).await?).map_err(|_| malformed())?;
        if found.issuer != self.issuer {
            let said = found.issuer.chars().filter(|c| !c.is_control()).take(500).collect();
            return Err(FetchError::OtherIssuer { said, configured: self.issuer.clone() });
        }
        Ok(found)
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, FetchError> {
        let mut response = self
            .client
            .get(url)
            .header(ACCEPT, ACCEPTED_CONTENT_TYPES)
            .send()
            .await
            .map_err(FetchError::Http)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        if let Some(date) = date_now(response.headers()) {
            self.clock.learn(Witness::Issuer, date);
        }
        read_bounded(&mut response).await
    }
}

/// Reads a body of at most 256 KB.
pub(super) async fn read_bounded(response: &mut Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(FetchError::Http)? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Returns the server's current time: `Date` plus `Age`, because a cache may have stored the response.
fn date_now(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
    let date = DateTime::parse_from_rfc2822(text(&DATE)?).ok()?.to_utc();
    let age = text(&AGE).map_or(Some(0), |age| age.parse::<u32>().ok())?;
    Some(date + TimeDelta::seconds(age.into()))
}
