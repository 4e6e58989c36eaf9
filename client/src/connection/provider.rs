//! Identity provider: discovery, device authorization (RFC 8628), authorization codes (RFC 6749) and refreshed tokens.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::Secret;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::Instant;
use url::Url;

use super::{AuthorizationCode, ServiceUrl, api_client};
use crate::error::ClientError;

/// Longest time of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time for the person to confirm, also where the provider allows more.
const MAX_CONFIRMATION: Duration = Duration::from_mins(15);
/// Interval between two questions where the provider names none (RFC 8628, section 3.2).
const DEFAULT_INTERVAL: u64 = 5;
/// Seconds by which the interval grows on `slow_down` (RFC 8628, section 3.5).
const SLOW_DOWN: u64 = 5;
/// Longest interval between two questions, in seconds.
const MAX_INTERVAL: u64 = 60;
/// Grant of the device flow.
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What the service says about signing in to it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SignInOffer {
    /// Issuer of accepted tokens.
    pub(crate) issuer: String,
    /// Public client of this program at that issuer.
    pub(crate) client_id: String,
    /// Scopes to ask for.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// Audience to ask for.
    #[serde(default)]
    pub(crate) audience: Option<String>,
}

/// Tokens of a person.
#[derive(Clone)]
pub(crate) struct Tokens {
    /// Bearer token for the service.
    pub(crate) bearer: Secret,
    /// Token that gets the next bearer token.
    pub(crate) refresh: Option<Secret>,
    /// End of the bearer token, if the provider says.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// Code that the person enters.
#[derive(Deserialize)]
pub(crate) struct DeviceCode {
    #[serde(rename = "device_code")]
    secret: String,
    /// Page that knows the code already.
    pub(crate) verification_uri_complete: Option<String>,
    /// Code to compare or to enter.
    pub(crate) user_code: String,
    /// Page that asks for the code.
    #[serde(alias = "verification_url")]
    pub(crate) verification_uri: String,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
    authorization_endpoint: Option<String>,
}

#[derive(Deserialize)]
struct Issued {
    access_token: Option<String>,
    id_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

/// A provider whose document was read.
pub(crate) struct Provider {
    http: Client,
    issuer: String,
    token_endpoint: Url,
    device_endpoint: Option<Url>,
    authorization_endpoint: Option<Url>,
}

/// How a request for tokens ended.
enum Reply {
    Issued(Tokens),
    Refused(Refused),
}

impl Provider {
    /// Reads the provider's document.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] if it cannot be read, [`ClientError::Usage`] if it is not of this issuer.
    pub(crate) async fn discover(issuer: &str) -> Result<Self, ClientError> {
        let url = endpoint(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))?;
        let origin = ServiceUrl::parse(&url.origin().ascii_serialization())?;
        let http = api_client::http_client(&origin, REQUEST_TIMEOUT)?;
        let answer = http.get(url).send().await.map_err(away)?;
        if answer.status() != StatusCode::OK {
            let text = format!("the document of {issuer} cannot be read: {}", answer.status());
            return Err(ClientError::Unavailable(text));
        }
        let found: Discovered = parse(&api_client::read_body(answer).await?)?;
        if found.issuer != issuer {
            return Err(ClientError::Usage(format!("the document of {issuer} names another issuer")));
        }
        let device_endpoint = found.device_authorization_endpoint.as_deref().map(endpoint).transpose()?;
        let authorization_endpoint = found.authorization_endpoint.as_deref().map(endpoint).transpose()?;
        let token_endpoint = endpoint(&found.token_endpoint)?;
        Ok(Self { http, issuer: found.issuer, token_endpoint, device_endpoint, authorization_endpoint })
    }

    /// Begins the device flow.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if the provider has no device flow, [`ClientError::SignedOut`] if it refuses.
    pub(crate) async fn begin(&self, offer: &SignInOffer) -> Result<DeviceCode, ClientError> {
        let others =
            if self.authorization_endpoint.is_some() { "--web or --with-token" } else { "--with-token" };
        let missing = || ClientError::Usage(format!("{} has no device flow; use {others}", self.issuer));
        let url = self.device_endpoint.clone().ok_or_else(missing)?;
        let scope = offer.scopes.join(" ");
        let mut form = vec![("client_id", offer.client_id.as_str()), ("scope", &scope)];
        form.extend(offer.audience.as_deref().map(|audience| ("audience", audience)));
        let answer = self.http.post(url).form(&form).send().await.map_err(away)?;
        let status = answer.status();
        let body = api_client::read_body(answer).await?;
        if status.is_success() { parse(&body) } else { Err(refusal(&parse(&body).unwrap_or_default())) }
    }

    /// Asks for the tokens until the person has confirmed.
    ///
    /// # Errors
    /// [`ClientError::SignedOut`] if the person refuses or the code ends.
    pub(crate) async fn await_confirmation(
        &self,
        offer: &SignInOffer,
        code: &DeviceCode,
    ) -> Result<Tokens, ClientError> {
        let deadline = Instant::now() + Duration::from_secs(code.expires_in).min(MAX_CONFIRMATION);
        let mut interval = code.interval.unwrap_or(DEFAULT_INTERVAL).min(MAX_INTERVAL);
        let form = [
            ("grant_type", DEVICE_GRANT),
            ("device_code", code.secret.as_str()),
            ("client_id", offer.client_id.as_str()),
        ];
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_secs(interval)).await;
            match self.ask(&form).await {
                Ok(Reply::Issued(tokens)) => return Ok(tokens),
                Ok(Reply::Refused(refused)) if refused.error == "authorization_pending" => {}
                Ok(Reply::Refused(refused)) if refused.error == "slow_down" => {
                    interval = (interval + SLOW_DOWN).min(MAX_INTERVAL);
                }
                Ok(Reply::Refused(refused)) => return Err(refusal(&refused)),
                // A lost answer is asked for again, as section 3.5 of the RFC allows.
                Err(ClientError::Unavailable(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ClientError::SignedOut("the code has expired; run `rts login` again".to_owned()))
    }

    /// Returns the endpoint at which a person signs in with a browser.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if the provider has none.
    pub(crate) fn authorization_endpoint(&self) -> Result<&Url, ClientError> {
        let missing = || ClientError::Usage(format!("{} has no sign-in page; use --device", self.issuer));
        self.authorization_endpoint.as_ref().ok_or_else(missing)
    }

    /// Gets tokens for an authorization code.
    ///
    /// # Errors
    /// [`ClientError::SignedOut`] if the provider refuses the code.
    pub(crate) async fn redeem(
        &self,
        offer: &SignInOffer,
        code: &AuthorizationCode,
    ) -> Result<Tokens, ClientError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.code.expose()),
            ("redirect_uri", code.redirect.as_str()),
            ("client_id", offer.client_id.as_str()),
            ("code_verifier", code.verifier.expose()),
        ];
        match self.ask(&form).await? {
            Reply::Issued(tokens) => Ok(tokens),
            Reply::Refused(refused) => Err(refusal(&refused)),
        }
    }

    /// Gets new tokens for a refresh token.
    ///
    /// # Errors
    /// [`ClientError::SignedOut`] if the session is over.
    pub(crate) async fn refresh(&self, client_id: &str, refresh: &Secret) -> Result<Tokens, ClientError> {
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", refresh.expose()), ("client_id", client_id)];
        match self.ask(&form).await? {
            // A provider that does not rotate refresh tokens sends none.
            Reply::Issued(tokens) => {
                Ok(Tokens { refresh: tokens.refresh.or_else(|| Some(refresh.clone())), ..tokens })
            }
            Reply::Refused(refused) => Err(refusal(&refused)),
        }
    }

    async fn ask(&self, form: &[(&str, &str)]) -> Result<Reply, ClientError> {
        let answer = self.http.post(self.token_endpoint.clone()).form(form).send().await.map_err(away)?;
        let status = answer.status();
        let body = api_client::read_body(answer).await?;
        if status.is_server_error() {
            return Err(ClientError::Unavailable(format!("{} answers {status}", self.issuer)));
        }
        if !status.is_success() {
            return Ok(Reply::Refused(parse(&body).unwrap_or_default()));
        }
        let issued: Issued = parse(&body)?;
        let bearer = choose_bearer(&issued).ok_or_else(|| {
            ClientError::SignedOut(format!("{} issued no token that a service can verify", self.issuer))
        })?;
        let expires_at = issued.expires_in.and_then(TimeDelta::try_seconds).map(|life| Utc::now() + life);
        Ok(Reply::Issued(Tokens { bearer, refresh: issued.refresh_token.map(Secret::new), expires_at }))
    }
}

/// An access token that is no JWT can be read by its issuer alone; the service verifies the ID token then.
fn choose_bearer(issued: &Issued) -> Option<Secret> {
    let is_jwt = |token: &&String| token.split('.').count() == 3;
    let access = issued.access_token.as_ref().filter(is_jwt);
    access.or(issued.id_token.as_ref()).map(|token| Secret::new(token.as_str()))
}

/// Parses an endpoint's URL: https, or http on this machine.
fn endpoint(text: &str) -> Result<Url, ClientError> {
    let fault = || ClientError::Usage(format!("the provider's URL {text:?} is not an https URL"));
    let url = Url::parse(text).map_err(|_| fault())?;
    ServiceUrl::parse(&url.origin().ascii_serialization()).map_err(|_| fault())?;
    Ok(url)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    // The parser's message could quote a token.
    serde_json::from_slice(body)
        .map_err(|_| ClientError::Unavailable("the identity provider's answer cannot be read".to_owned()))
}

fn away(error: reqwest::Error) -> ClientError {
    let reason = domain::error_chain(&error.without_url());
    ClientError::Unavailable(format!("the identity provider does not answer: {reason}"))
}

fn refusal(refused: &Refused) -> ClientError {
    let text = if refused.error_description.is_empty() { &refused.error } else { &refused.error_description };
    let text: String = crate::output::plain(text).chars().take(300).collect();
    ClientError::SignedOut(format!("the identity provider refuses: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_verifiable_token_is_chosen() {
        let issued = |access: &str, id: Option<&str>| Issued {
            access_token: Some(access.to_owned()),
            id_token: id.map(str::to_owned),
            refresh_token: None,
            expires_in: None,
        };
        let chosen = |issued: Issued| choose_bearer(&issued).map(|token| token.expose().to_owned());
        assert_eq!(chosen(issued("a.b.c", Some("d.e.f"))), Some("a.b.c".to_owned()));
        assert_eq!(chosen(issued("opaque", Some("d.e.f"))), Some("d.e.f".to_owned()));
        assert_eq!(chosen(issued("opaque", None)), None);
    }

    #[test]
    fn provider_is_asked_over_tls_alone() {
        assert!(endpoint("https://login.example.com/token").is_ok());
        assert!(endpoint("http://127.0.0.1:1/token").is_ok());
        assert!(endpoint("http://login.example.com/token").is_err());
    }
}
