//! HTTP client of the API: one request, its time-outs, retries and bounds.

use std::{sync::Mutex, time::Duration};

use domain::Secret;
use reqwest::{
    Client, Method, Response,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
    redirect,
};
use serde_json::Value;
use url::Url;

use super::{Answer, Identity, ServiceUrl, WireProblem, answer};
use crate::error::ClientError;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of a request, beside what it asks the service to wait.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of an answer. A page of a list ends at about 2 MB.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Longest time of an answer that is written as it arrives.
const MAX_DOWNLOAD: Duration = Duration::from_hours(24);
/// Longest pause within such an answer.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// Most sends of one request.
const MAX_SENDS: u32 = 5;
/// Longest wait before a request is repeated.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(20);

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    url: Url,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
    wait: Duration,
    repeatable: bool,
}

impl Request {
    /// Returns a request that may be repeated exactly if its method is GET.
    pub(crate) fn new(method: Method, url: Url) -> Self {
        let repeatable = method == Method::GET;
        Self { method, url, body: None, headers: Vec::new(), wait: Duration::ZERO, repeatable }
    }

    /// Adds a query parameter, if it has a value.
    pub(crate) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.url.query_pairs_mut().append_pair(name, &value.to_string());
        }
        self
    }

    pub(crate) fn json(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Asks the service to answer when the work is done, or after this time.
    pub(crate) fn prefer_wait(self, wait: Duration) -> Self {
        let seconds = wait.as_secs().min(25);
        Self { wait: Duration::from_secs(seconds), ..self }.header("prefer", format!("wait={seconds}"))
    }

    /// Asks the service to answer a GET late: when something is final, or after this time.
    pub(crate) fn long_poll(self, wait: Duration) -> Self {
        let seconds = wait.as_secs().min(25);
        Self { wait: Duration::from_secs(seconds), ..self }.query("wait", Some(seconds))
    }

    /// Marks a request as one that may be sent again although its method is not GET.
    pub(crate) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// Makes the request repeatable: with this key, the service does its work once however often it is sent.
    pub(crate) fn idempotency_key(self, key: &str) -> Self {
        Self { repeatable: true, ..self }.header("idempotency-key", key)
    }
}

/// A connection to one service by one identity.
pub(crate) struct ApiClient {
    http: Client,
    /// URL of the service.
    pub(crate) url: ServiceUrl,
    identity: Option<Identity>,
    token: Mutex<Option<Secret>>,
}

/// How one send ended, if not with an answer.
enum SendError {
    /// The request never left this machine.
    NotSent(reqwest::Error),
    /// The request may have been received.
    Lost(reqwest::Error),
    /// The service answered with an error status.
    Refused(Box<WireProblem>, Option<Duration>),
    /// The answer cannot be used.
    Unusable(ClientError),
}

impl ApiClient {
    /// Returns a client that sends the identity's token. Without an identity it sends none.
    pub(crate) fn new(url: ServiceUrl, identity: Option<Identity>) -> Result<Self, ClientError> {
        let http = http_client(&url, REQUEST_TIMEOUT)?;
        Ok(Self { http, url, identity, token: Mutex::new(None) })
    }

    /// Returns a client that sends this token.
    pub(crate) fn with_token(url: ServiceUrl, token: Secret) -> Result<Self, ClientError> {
        let client = Self::new(url, None)?;
        Ok(Self { token: Mutex::new(Some(token)), ..client })
    }

    /// Returns the source of the token.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Returns a request for an API path.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> Request {
        Request::new(method, self.url.api(segments))
    }

    pub(crate) async fn get(&self, segments: &[&str]) -> Result<Answer, ClientError> {
        self.send(self.request(Method::GET, segments)).await
    }

    /// Sends a request. One that may be repeated is sent again, up to five times, when the service is away or asks for it.
    ///
    /// # Errors
    /// [`ClientError::Problem`] for an error status, [`ClientError::Unavailable`] without an answer.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, ClientError> {
        let timeout = REQUEST_TIMEOUT + request.wait;
        let response = self.repeat(&request, async |request| {
            let response = self.send_once(request, timeout).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = read_body(response).await.map_err(SendError::Unusable)?;
            Ok(Answer { status: status.as_u16(), body: read_value(&headers, &body) })
        });
        response.await
    }

    /// Sends a request and hands its answer to `write`, part by part, however long it is.
    ///
    /// # Errors
    /// As [`Self::send`]; [`ClientError::Unavailable`] if the answer breaks off or pauses for a minute; errors of `write`.
    pub(crate) async fn download(
        &self,
        request: Request,
        mut write: impl FnMut(&[u8]) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let start = self.repeat(&request, async |request| self.send_once(request, MAX_DOWNLOAD).await);
        let mut response = start.await?;
        loop {
            let chunk = tokio::time::timeout(MAX_PAUSE, response.chunk()).await;
            let chunk = chunk.map_err(|_| {
                ClientError::Unavailable("the answer broke off: nothing came for a minute".to_owned())
            })?;
            match chunk.map_err(broken_off)? {
                Some(chunk) => write(&chunk)?,
                None => return Ok(()),
            }
        }
    }

    /// Sends a request until it has an answer, its error is final, or it was sent too often.
    async fn repeat<A>(
        &self,
        request: &Request,
        send: impl AsyncFn(&Request) -> Result<A, SendError>,
    ) -> Result<A, ClientError> {
        let mut renewed = false;
        let mut sends = 1;
        loop {
            let error = match send(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if is_expired(&error) && !renewed && self.forget_token() {
                renewed = true;
                continue;
            }
            let Some(wait) = retry_wait(&error, sends, request.repeatable) else {
                return Err(self.failure(error));
            };
            sends += 1;
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a request. Returns its answer before the body is read.
    async fn send_once(&self, request: &Request, timeout: Duration) -> Result<Response, SendError> {
        let mut builder = self.http.request(request.method.clone(), request.url.clone()).timeout(timeout);
        builder = builder.header(ACCEPT, "application/json, application/problem+json, */*;q=0.1");
        if let Some(authorization) = self.authorization().await.map_err(SendError::Unusable)? {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let sent = builder.send().await;
        let response = sent.map_err(|error| match untrusted(&error, &self.url) {
            Some(fault) => SendError::Unusable(fault),
            None if error.is_connect() => SendError::NotSent(error),
            None => SendError::Lost(error),
        })?;
        let status = response.status();
        if status.is_redirection() && status.as_u16() != 304 {
            let text = format!("the service redirects ({status}); use the URL it redirects to as --url");
            return Err(SendError::Unusable(ClientError::Usage(text)));
        }
        if status.is_client_error() || status.is_server_error() {
            let headers = response.headers().clone();
            let body = read_body(response).await.map_err(SendError::Unusable)?;
            let problem = WireProblem::read(status.as_u16(), &read_value(&headers, &body));
            return Err(SendError::Refused(Box::new(problem), answer::retry_after(&headers)));
        }
        Ok(response)
    }

    /// Returns the value of the `Authorization` header.
    async fn authorization(&self) -> Result<Option<HeaderValue>, ClientError> {
        let token = match (self.cached_token(), &self.identity) {
            (Some(token), _) => token,
            (None, None) => return Ok(None),
            (None, Some(identity)) => {
                let token = identity.token().await?;
                if let Ok(mut cached) = self.token.lock() {
                    *cached = Some(token.clone());
                }
                token
            }
        };
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut value =
            value.map_err(|_| ClientError::SignedOut("the token is no bearer token".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn cached_token(&self) -> Option<Secret> {
        self.token.lock().ok().and_then(|token| token.clone())
    }

    /// Forgets an expired token. Returns whether its source may have a newer one.
    fn forget_token(&self) -> bool {
        let renewable = self.identity.as_ref().is_some_and(|identity| identity.source.is_renewable());
        if let Ok(mut token) = self.token.lock() {
            *token = None;
        }
        renewable
    }

    fn failure(&self, error: SendError) -> ClientError {
        match error {
            SendError::Refused(problem, _) => ClientError::Problem(problem),
            SendError::Unusable(error) => error,
            SendError::NotSent(error) | SendError::Lost(error) => {
                let reason = domain::error_chain(&error.without_url());
                ClientError::Unavailable(format!("{} does not answer: {reason}", self.url.host()))
            }
        }
    }
}

/// Builds an HTTP client that follows no redirect, since a redirect could lead the token elsewhere.
pub(crate) fn http_client(url: &ServiceUrl, timeout: Duration) -> Result<Client, ClientError> {
    let agent = concat!("rts/", env!("CARGO_PKG_VERSION"));
    let builder = Client::builder().user_agent(agent).redirect(redirect::Policy::none());
    let builder = builder.connect_timeout(CONNECT_TIMEOUT).timeout(timeout);
    // A proxy would carry the token of a plain-http service off this machine.
    let builder = if url.is_loopback() { builder.no_proxy() } else { builder };
    // The system's certificates are read at once, and no connection of plain http uses them.
    let builder = if url.is_encrypted() { builder } else { builder.tls_certs_only([]) };
    builder
        .build()
        .map_err(|error| ClientError::Failed(format!("no HTTP client: {}", domain::error_chain(&error))))
}

/// Returns the fault of a connection whose certificate or TLS is wrong: it stays so, however often a request is sent.
pub(crate) fn untrusted(error: &reqwest::Error, url: &ServiceUrl) -> Option<ClientError> {
    // The servers' setting for authorities is not the client's.
    let advice = domain::tls_advice(error)?.replace("EXTRA_CA_FILE", "SSL_CERT_FILE");
    Some(ClientError::Usage(format!("{} cannot be trusted: {advice}", url.host())))
}

/// Reads a body of bounded length.
pub(crate) async fn read_body(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await.map_err(broken_off)?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ClientError::Failed("the answer is longer than 16 MB".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
}

fn broken_off(error: reqwest::Error) -> ClientError {
    let reason = domain::error_chain(&error.without_url());
    ClientError::Unavailable(format!("the answer broke off: {reason}"))
}

/// A body that is not JSON, such as metrics, becomes a text.
fn read_value(headers: &HeaderMap, body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    let json = answer::is_json(headers).then(|| serde_json::from_slice(body).ok()).flatten();
    json.unwrap_or_else(|| Value::String(String::from_utf8_lossy(body).into_owned()))
}

fn is_expired(error: &SendError) -> bool {
    matches!(error, SendError::Refused(problem, _) if problem.code == "token_expired")
}

/// Returns the wait before the next send, or `None` if the request must not be sent again.
fn retry_wait(error: &SendError, sends: u32, repeatable: bool) -> Option<Duration> {
    if sends >= MAX_SENDS {
        return None;
    }
    let backoff = Duration::from_millis(200) * 2_u32.pow(sends - 1);
    match error {
        SendError::NotSent(_) => Some(backoff),
        SendError::Lost(_) => repeatable.then_some(backoff),
        SendError::Refused(problem, asked) => {
            let passes = matches!(problem.status, 429 | 502 | 503 | 504);
            let wait = asked.unwrap_or(backoff).max(Duration::from_millis(100));
            (passes && repeatable && wait <= MAX_RETRY_WAIT).then_some(wait)
        }
        SendError::Unusable(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, seconds: u64) -> SendError {
        let problem = WireProblem { status, ..WireProblem::default() };
        SendError::Refused(Box::new(problem), Some(Duration::from_secs(seconds)))
    }

    #[test]
    fn only_repeatable_requests_are_repeated() {
        assert_eq!(retry_wait(&refused(503, 2), 1, true), Some(Duration::from_secs(2)));
        assert_eq!(retry_wait(&refused(503, 2), 1, false), None);
        assert_eq!(retry_wait(&refused(409, 2), 1, true), None);
        assert_eq!(retry_wait(&refused(429, 60), 1, true), None, "the caller is asked to come back later");
        assert_eq!(retry_wait(&refused(503, 2), MAX_SENDS, true), None);
    }
}
