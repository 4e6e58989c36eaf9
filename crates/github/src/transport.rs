//! Transport of one request and its response: limited in time and size, never resent.

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{Secret, error_chain};
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited, combinators::BoxBody};
use hyper_util::{
    client::legacy::{
        Client, Error as LegacyError,
        connect::{CaptureConnection, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder, service::middleware::base_uri::BaseUriLayer};
use tower::{timeout::Timeout, util::BoxCloneSyncService};
use tracing::{Instrument, Span, field};
use url::Url;

use crate::{
    call::{Call, Reply},
    classify,
    clock::ServerClock,
    connect,
    error::GitHubError,
    headers,
    observer::{Exchange, Gate, Observer},
    redirect,
    settings::{GitHubSettings, SettingsError, Timeouts},
};

/// Largest response body: a hundred runners with a hundred labels each need much less.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Time after which we close idle connections, before GitHub closes them during a POST.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of idle connections.
const MAX_IDLE: usize = 32;

const API_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28"));
const ACCEPT: HeaderValue = HeaderValue::from_static("application/vnd.github+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The connection pool, and the gate in front of it. Clones share everything but the gate.
#[derive(Clone)]
pub(crate) struct Transport {
    shared: Arc<Shared>,
    gate: Arc<dyn Gate>,
    pub(crate) clock: Arc<ServerClock>,
}

/// The connection pool and the settings common to all requests.
struct Shared {
    crab: Octocrab,
    /// The API's base: redirects are followed on its host only.
    origin: Url,
    prefix: String,
    user_agent: HeaderValue,
    timeouts: Timeouts,
    observer: Arc<dyn Observer>,
}

impl Transport {
    pub(crate) fn new(
        settings: &GitHubSettings,
        observer: Arc<dyn Observer>,
        gate: Arc<dyn Gate>,
    ) -> Result<Self, SettingsError> {
        let mut agent = concat!("runner-token-service/", env!("CARGO_PKG_VERSION")).to_owned();
        if let Some(suffix) = &settings.user_agent_suffix {
            agent = format!("{agent} ({suffix})");
        }
        let shared = Shared {
            crab: build_octocrab(settings)?,
            origin: settings.api_url.clone(),
            prefix: settings.api_url.path().trim_end_matches('/').to_owned(),
            user_agent: agent.parse().map_err(|_| SettingsError::Unsendable("user agent suffix"))?,
            timeouts: settings.timeouts,
            observer,
        };
        Ok(Self { shared: Arc::new(shared), gate, clock: Arc::default() })
    }

    /// Returns a transport with another gate.
    pub(crate) fn with_gate(&self, gate: Arc<dyn Gate>) -> Self {
        Self { gate, ..self.clone() }
    }

    /// Asks the gate for `call`.
    ///
    /// # Errors
    /// [`GitHubError::Held`].
    pub(crate) async fn admit(&self, call: &Call) -> Result<(), GitHubError> {
        self.gate.admit(call.operation, &call.method).await.map_err(|wait| GitHubError::Held { wait })
    }

    /// Sends `call` once. Any status is `Ok`; an error means that no complete response came. A GET that is redirected
    /// on the API's own host is followed, and each step passes the gate like a request of its own.
    ///
    /// # Errors
    /// [`GitHubError::NotSent`], [`GitHubError::Unclear`] or, for a response that is too large, `Malformed`.
    pub(crate) async fn send(&self, call: &Call, token: &Secret) -> Result<Reply, GitHubError> {
        let mut reply = self.send_once(call, None, token).await?;
        for _ in 0..redirect::MAX_REDIRECTS {
            let Some(target) = redirect::target(call, &reply, &self.shared.origin) else { break };
            self.admit(call).await?;
            reply = self.send_once(call, Some(&target), token).await?;
        }
        Ok(reply)
    }

    /// Sends `call` to its own path, or to `target` (a complete path, with the API's base).
    async fn send_once(
        &self,
        call: &Call,
        target: Option<&str>,
        token: &Secret,
    ) -> Result<Reply, GitHubError> {
        let span = tracing::info_span!(
            "github",
            method = %call.method,
            operation = call.operation,
            status = field::Empty,
            github_request_id = field::Empty
        );
        let started = Instant::now();
        let mut head = None;
        let mut exchange = SendGuard { observer: &*self.shared.observer, operation: Some(call.operation) };
        let reply = self.exchange(call, target, token, &mut head).instrument(span.clone()).await;
        exchange.operation = None;
        self.report(call, reply.as_ref().ok().or(head.as_ref()), started.elapsed());
        span.in_scope(|| log_outcome(&reply, started.elapsed()));
        reply
    }

    /// Stores status and headers in `head` as soon as they arrive: they stay valid if the body breaks off.
    async fn exchange(
        &self,
        call: &Call,
        target: Option<&str>,
        token: &Secret,
        head: &mut Option<Reply>,
    ) -> Result<Reply, GitHubError> {
        let (request, capture) = self.request(call, target)?;
        let complete = async {
            let crab = self
                .shared
                .crab
                .user_access_token(token.expose())
                .map_err(|e| send_failed(call, &e, &capture))?;
            let response = crab.execute(request).await.map_err(|e| send_failed(call, &e, &capture))?;
            let (parts, body) = response.into_parts();
            let (status, headers) = (parts.status, parts.headers);
            *head = Some(Reply { status, headers: headers.clone(), body: Bytes::new() });
            let body = read_body(call, body, head.as_ref()).await?;
            Ok(Reply { status, headers, body })
        };
        let reply = tokio::time::timeout(self.shared.timeouts.total, complete).await;
        reply.unwrap_or_else(|_| Err(timed_out(call, &capture, head.as_ref())))
    }

    fn request(
        &self,
        call: &Call,
        target: Option<&str>,
    ) -> Result<(Request<OctoBody>, CaptureConnection), GitHubError> {
        let uri = target.map_or_else(|| format!("{}{}", self.shared.prefix, call.path), str::to_owned);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header(header::USER_AGENT, self.shared.user_agent.clone())
            .header(header::ACCEPT, ACCEPT)
            .header(API_VERSION.0, API_VERSION.1);
        if let Some(etag) = &call.etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let body = match &call.body {
            Some(json) => {
                request = request.header(header::CONTENT_TYPE, JSON);
                OctoBody::from(json.clone())
            }
            None => OctoBody::empty(),
        };
        let mut request =
            request.body(body).map_err(|_| GitHubError::Argument("it does not form a valid request"))?;
        let capture = capture_connection(&mut request);
        Ok((request, capture))
    }

    fn report(&self, call: &Call, reply: Option<&Reply>, took: Duration) {
        let status = reply.map(|reply| reply.status.as_u16());
        let class = status.map_or_else(|| "none".to_owned(), |s| format!("{}xx", s / 100));
        metrics::counter!("rts_github_requests_total", "operation" => call.operation, "status_class" => class)
            .increment(1);
        metrics::histogram!("rts_github_request_seconds", "operation" => call.operation)
            .record(took.as_secs_f64());
        let server_date = reply.and_then(|reply| headers::date(&reply.headers));
        if let Some(date) = server_date {
            self.clock.learn(date);
        }
        let now = server_date.unwrap_or_else(|| self.clock.now());
        self.shared.observer.on_response(&Exchange {
            operation: call.operation,
            method: call.method.clone(),
            status,
            rate: reply.and_then(|reply| headers::rate(&reply.headers)),
            limit: reply.and_then(|reply| classify::limit(reply, now)),
            suspended: reply.is_some_and(classify::is_suspended),
            request_id: reply.and_then(Reply::request_id),
            took,
            server_date,
        });
    }
}

/// An exchange in flight; notifies the observer if its caller is dropped before the end.
struct SendGuard<'a> {
    observer: &'a dyn Observer,
    /// `None` after the end.
    operation: Option<&'static str>,
}

impl Drop for SendGuard<'_> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation {
            self.observer.on_abandoned(operation);
        }
    }
}

fn log_outcome(reply: &Result<Reply, GitHubError>, took: Duration) {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match reply {
        Ok(reply) => {
            let span = Span::current();
            span.record("status", reply.status.as_u16());
            if let Some(id) = reply.request_id() {
                span.record("github_request_id", id);
            }
            tracing::debug!(millis, "GitHub responded");
        }
        Err(error) => tracing::warn!(millis, %error, "GitHub call failed"),
    }
}

/// Returns Octocrab over a client of our own: no retries, no redirects, one pool.
///
/// A request on a connection that has just closed fails instead of being sent again. The connection time limit includes
/// TLS.
fn build_octocrab(settings: &GitHubSettings) -> Result<Octocrab, SettingsError> {
    let api_url = &settings.api_url;
    let connector = connect::connector(&settings.outgoing, api_url.scheme() != "https")?;
    let connector = Timeout::new(connector, settings.timeouts.connect);
    let client = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE)
        .build::<_, OctoBody>(BoxCloneSyncService::new(connector));
    // We add the base path to every request ourselves, because the layer adds only host and scheme.
    let mut origin = api_url.clone();
    origin.set_path("/");
    let base = origin.as_str().parse().map_err(|_| SettingsError::Url)?;
    let Ok(crab) = OctocrabBuilder::new_empty()
        .with_service(client)
        .with_layer(&BaseUriLayer::new(base))
        .with_auth(AuthState::None)
        .build();
    Ok(crab)
}

async fn read_body(
    call: &Call,
    body: BoxBody<Bytes, octocrab::Error>,
    head: Option<&Reply>,
) -> Result<Bytes, GitHubError> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(call.malformed("it is larger than 8 MiB")),
        Err(error) => Err(unclear(call, error_chain(error.as_ref()), head)),
    }
}

/// Distinguishes a request that was never sent from one whose response was lost.
fn send_failed(call: &Call, error: &octocrab::Error, capture: &CaptureConnection) -> GitHubError {
    let mut unsent = capture.connection_metadata().is_none();
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = source {
        unsent |= cause.downcast_ref::<LegacyError>().is_some_and(LegacyError::is_connect)
            || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        source = cause.source();
    }
    let reason = error_chain(error.source().unwrap_or(error));
    if unsent { GitHubError::NotSent { reason } } else { unclear(call, reason, None) }
}

fn timed_out(call: &Call, capture: &CaptureConnection, head: Option<&Reply>) -> GitHubError {
    if capture.connection_metadata().is_none() {
        return GitHubError::NotSent { reason: "timed out before a connection was established".to_owned() };
    }
    unclear(call, "timed out", head)
}

/// Returns the error of a request whose response was lost; `head` is the part that arrived.
fn unclear(call: &Call, reason: impl Into<String>, head: Option<&Reply>) -> GitHubError {
    GitHubError::Unclear {
        reason: reason.into(),
        status: head.map(|head| head.status.as_u16()),
        read_only: call.read_only(),
        wait: None,
        request_id: head.and_then(Reply::request_id),
    }
}
