//! Sign-in of people by the authorization code flow with PKCE (RFC 6749, RFC 7636, RFC 9207).

use std::{path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{StatusCode, header::ACCEPT};
use runtime::config::{is_loopback, safe_url};
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use url::{Url, form_urlencoded};

use super::{
    HttpSettings, OidcError, VerifiedToken, Verifier,
    error::FetchError,
    source::{Discovered, KeySource, read_bounded},
};

/// Time for which the endpoints of an issuer are kept.
const ENDPOINTS_LIFE: Duration = Duration::from_mins(10);
/// Longest wait for the endpoints of an issuer at which a person may sign out.
const MAX_END_SESSION_WAIT: Duration = Duration::from_secs(1);
/// Scopes of a sign-in.
const SCOPES: &str = "openid email profile";
/// Largest file with a client secret, in bytes.
const MAX_SECRET_BYTES: u64 = 4096;
/// Longest text of an issuer's refusal that is shown, in characters.
const MAX_SHOWN: usize = 300;

/// Client of one issuer by which people sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeClient {
    /// Issuer, one of the verifier's.
    pub issuer: String,
    /// Client id.
    pub client_id: String,
    /// File with the client secret; `None` for a public client.
    pub secret_path: Option<PathBuf>,
}

/// Sign-in at all issuers that have a client. Cheap to clone.
#[derive(Clone)]
pub struct CodeFlow {
    providers: Arc<[Provider]>,
    verifier: Verifier,
}

impl std::fmt::Debug for CodeFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.providers.iter().map(|provider| &provider.client)).finish()
    }
}

struct Provider {
    client: CodeClient,
    source: KeySource,
    total: Duration,
    endpoints: Mutex<Option<(Endpoints, Instant)>>,
}

#[derive(Clone)]
struct Endpoints {
    authorization: Url,
    token: Url,
    /// Page on which a person signs out (RP-Initiated Logout 1.0).
    end_session: Option<Url>,
    /// Whether the answer names its issuer (RFC 9207).
    names_issuer: bool,
    /// Whether the token endpoint takes a secret only in the form.
    secret_in_form: bool,
}

/// A sign-in to send a browser to.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// Address to which the issuer sends the browser back.
    pub redirect_uri: &'a str,
    /// Text that the answer repeats.
    pub state: &'a str,
    /// Text that the ID token repeats.
    pub nonce: &'a str,
    /// Code challenge by the method `S256`.
    pub challenge: &'a str,
    /// Whether the issuer should let the person choose an account.
    pub choose_account: bool,
}

/// Answer that a browser brings back.
#[derive(Clone, Copy, Debug)]
pub struct CodeAnswer<'a> {
    /// The code.
    pub code: &'a str,
    /// Parameter `iss`, if sent.
    pub issuer: Option<&'a str>,
    /// Address of the request.
    pub redirect_uri: &'a str,
    /// Nonce of the request.
    pub nonce: &'a str,
    /// Code verifier of the request.
    pub verifier: &'a str,
}

/// Reason why a sign-in failed. No text quotes a code, token or secret.
#[derive(Debug, thiserror::Error)]
pub enum CodeFlowError {
    /// No client is configured for this issuer.
    #[error("no client is configured for this issuer")]
    UnknownIssuer,
    /// The discovery document cannot be read.
    #[error("the issuer's discovery document cannot be read")]
    Discovery(#[source] FetchError),
    /// The discovery document lacks an endpoint.
    #[error("the issuer's discovery document names no authorization and token endpoint")]
    NoEndpoints,
    /// The answer came from another issuer.
    #[error("the answer does not name the issuer at which the sign-in began")]
    OtherIssuer,
    /// The client secret cannot be read.
    #[error("the file with the client secret cannot be read")]
    Secret,
    /// The token endpoint does not answer.
    #[error("the issuer's token endpoint does not answer properly")]
    TokenEndpoint(#[source] FetchError),
    /// The token endpoint refused the code.
    #[error("the issuer refused the code: {0}")]
    Refused(String),
    /// The ID token is not valid.
    #[error("the ID token was refused: {0}")]
    Token(#[from] OidcError),
}

impl CodeFlowError {
    /// Returns whether the issuer cannot be reached, so that a later attempt may succeed.
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Discovery(_) | Self::TokenEndpoint(_) | Self::Token(OidcError::KeysUnavailable))
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

#[derive(Deserialize)]
struct TokenRefusal {
    error: String,
    error_description: Option<String>,
}

impl CodeFlow {
    /// Returns the sign-in by these clients. Nothing is fetched yet.
    ///
    /// # Errors
    /// The HTTP client cannot be built, because there is no certificate store.
    pub fn new(
        clients: Vec<CodeClient>,
        http: &HttpSettings,
        verifier: Verifier,
    ) -> Result<Self, reqwest::Error> {
        let http_client = super::source::client(http)?;
        let provider = |client: CodeClient| {
            let clock = verifier.clock.clone();
            let issuer = client.issuer.clone();
            let source = KeySource::of_issuer(http_client.clone(), http.total, clock, issuer);
            Provider { client, source, total: http.total, endpoints: Mutex::default() }
        };
        let providers = clients.into_iter().map(provider).collect();
        Ok(Self { providers, verifier })
    }

    /// Returns the issuers at which people sign in, in the order of the settings.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.providers.iter().map(|provider| provider.client.issuer.as_str())
    }

    fn provider(&self, issuer: &str) -> Result<&Provider, CodeFlowError> {
        let found = self.providers.iter().find(|provider| provider.client.issuer == issuer);
        found.ok_or(CodeFlowError::UnknownIssuer)
    }

    /// Returns the address to send the browser to.
    ///
    /// # Errors
    /// The issuer is unknown, or its discovery document cannot be read.
    pub async fn authorization_url(
        &self,
        issuer: &str,
        request: &AuthorizationRequest<'_>,
    ) -> Result<Url, CodeFlowError> {
        let provider = self.provider(issuer)?;
        let mut url = provider.endpoints().await?.authorization;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client.client_id)
            .append_pair("redirect_uri", request.redirect_uri)
            .append_pair("scope", SCOPES)
            .append_pair("state", request.state)
            .append_pair("nonce", request.nonce)
            .append_pair("code_challenge", request.challenge)
            .append_pair("code_challenge_method", "S256");
        if request.choose_account {
            query.append_pair("prompt", "select_account");
        }
        drop(query);
        Ok(url)
    }

    /// Returns the issuer's page on which a person signs out there, `None` if it has none or does not answer. No token is
    /// kept, so the page itself asks who signs out.
    pub async fn end_session_url(&self, issuer: &str) -> Option<Url> {
        let provider = self.provider(issuer).ok()?;
        let endpoints = timeout(MAX_END_SESSION_WAIT, provider.endpoints()).await.ok()?.ok()?;
        let mut url = endpoints.end_session?;
        url.query_pairs_mut().append_pair("client_id", &provider.client.client_id);
        Some(url)
    }

    /// Exchanges the code for an ID token and verifies it. No token is kept.
    ///
    /// # Errors
    /// The reason why the sign-in failed.
    pub async fn exchange(
        &self,
        issuer: &str,
        answer: &CodeAnswer<'_>,
    ) -> Result<VerifiedToken, CodeFlowError> {
        let provider = self.provider(issuer)?;
        let endpoints = provider.endpoints().await?;
        match answer.issuer {
            Some(said) if said != issuer => return Err(CodeFlowError::OtherIssuer),
            None if endpoints.names_issuer => return Err(CodeFlowError::OtherIssuer),
            _ => {}
        }
        let token = provider.fetch_token(&endpoints, answer).await?;
        let client_id = &provider.client.client_id;
        Ok(self.verifier.verify_id_token(issuer, &token, client_id, answer.nonce).await?)
    }
}

impl Provider {
    async fn endpoints(&self) -> Result<Endpoints, CodeFlowError> {
        let mut kept = self.endpoints.lock().await;
        if let Some((endpoints, since)) = kept.as_ref()
            && since.elapsed() < ENDPOINTS_LIFE
        {
            return Ok(endpoints.clone());
        }
        let found = timeout(self.total, self.source.discover()).await;
        let found = found.unwrap_or(Err(FetchError::TimedOut)).map_err(CodeFlowError::Discovery);
        let endpoints = match (found, kept.as_ref()) {
            (Ok(found), _) => Endpoints::new(found, &self.client.issuer)?,
            // Endpoints hardly ever change, and the old ones may still answer.
            (Err(_), Some((old, _))) => return Ok(old.clone()),
            (Err(error), None) => return Err(error),
        };
        *kept = Some((endpoints.clone(), Instant::now()));
        Ok(endpoints)
    }

    async fn fetch_token(
        &self,
        endpoints: &Endpoints,
        answer: &CodeAnswer<'_>,
    ) -> Result<String, CodeFlowError> {
        let secret = self.secret().await?;
        let client_id = self.client.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", answer.code),
            ("redirect_uri", answer.redirect_uri),
            ("code_verifier", answer.verifier),
            ("client_id", client_id),
        ];
        let mut request =
            self.source.client().post(endpoints.token.clone()).header(ACCEPT, "application/json");
        match &secret {
            Some(secret) if endpoints.secret_in_form => form.push(("client_secret", secret.expose())),
            // Both parts are encoded as in forms first (RFC 6749, 2.3.1).
            Some(secret) => {
                let encode =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret.expose())));
                request = request.header("authorization", format!("Basic {pair}"));
            }
            None => {}
        }
        let fetch = async {
            let mut response = request.form(&form).send().await.map_err(FetchError::Http)?;
            Ok((response.status(), read_bounded(&mut response).await?))
        };
        let fetched = timeout(self.total, fetch).await.unwrap_or(Err(FetchError::TimedOut));
        let (status, body) = fetched.map_err(CodeFlowError::TokenEndpoint)?;
        if status == StatusCode::OK {
            let malformed = |_| CodeFlowError::TokenEndpoint(FetchError::Malformed("the token response"));
            return serde_json::from_slice(&body)
                .map(|answer: TokenAnswer| answer.id_token)
                .map_err(malformed);
        }
        match serde_json::from_slice::<TokenRefusal>(&body) {
            Ok(refusal) if status.is_client_error() => Err(CodeFlowError::Refused(refusal.shown())),
            _ => Err(CodeFlowError::TokenEndpoint(FetchError::Status(status))),
        }
    }

    /// Reads the client secret, so that a new one needs no restart.
    async fn secret(&self) -> Result<Option<domain::Secret>, CodeFlowError> {
        let Some(path) = &self.client.secret_path else { return Ok(None) };
        let size = tokio::fs::metadata(path).await.map_err(|_| CodeFlowError::Secret)?.len();
        if size > MAX_SECRET_BYTES {
            return Err(CodeFlowError::Secret);
        }
        let text = tokio::fs::read_to_string(path).await.map_err(|_| CodeFlowError::Secret)?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() { Err(CodeFlowError::Secret) } else { Ok(Some(domain::Secret::new(secret))) }
    }
}

impl Endpoints {
    /// Returns the endpoints of a discovery document. Only an issuer on this machine may name addresses on this machine.
    fn new(found: Discovered, issuer: &str) -> Result<Self, CodeFlowError> {
        let from_loopback = Url::parse(issuer).is_ok_and(|url| is_loopback(&url));
        let allowed = |text: String| safe_url(&text).filter(|url| from_loopback || !is_loopback(url));
        let endpoint = |text: Option<String>| text.and_then(allowed).ok_or(CodeFlowError::NoEndpoints);
        let methods = found.token_endpoint_auth_methods_supported.unwrap_or_default();
        let takes = |name: &str| methods.iter().any(|method| method == name);
        Ok(Self {
            authorization: endpoint(found.authorization_endpoint)?,
            token: endpoint(found.token_endpoint)?,
            end_session: found.end_session_endpoint.and_then(allowed),
            names_issuer: found.authorization_response_iss_parameter_supported,
            secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
        })
    }
}

impl TokenRefusal {
    fn shown(self) -> String {
        let text = match self.error_description {
            Some(description) => format!("{} ({description})", self.error),
            None => self.error,
        };
        text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
    }
}
