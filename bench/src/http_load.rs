//! HTTP load: many connections that send requests, and the time of each response.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName},
    http::request,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// Connections that send at the same time.
pub(crate) const CONNECTIONS: usize = 64;
/// Time limit for one response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests that a load sends again and again.
pub(crate) trait RequestSource: Send + Sync + 'static {
    /// Returns the server as `host:port`.
    fn address(&self) -> &str;
    /// Returns the status of a successful response.
    fn expected_status(&self) -> StatusCode;
    /// Returns the nth request.
    fn request(&self, nth: usize) -> anyhow::Result<Request<Full<Bytes>>>;
}

/// POST requests to one path by several callers in turn.
#[derive(Clone)]
pub(crate) struct PostRequests {
    /// Server as `host:port`.
    pub(crate) address: String,
    pub(crate) path: &'static str,
    /// The callers' tokens. Empty sends no token.
    pub(crate) tokens: Vec<String>,
    /// Value of the header `Prefer`.
    pub(crate) prefer: Option<&'static str>,
    /// Status of a successful response.
    pub(crate) expected_status: StatusCode,
}

impl PostRequests {
    /// Returns requests for a runner.
    pub(crate) fn provision(address: &str, tokens: &[String]) -> Self {
        Self {
            address: address.to_owned(),
            path: "/api/v1/runners/jit",
            tokens: tokens.to_vec(),
            prefer: None,
            expected_status: StatusCode::ACCEPTED,
        }
    }
}

/// Begins a POST request with a JSON body to a server, given as `host:port`.
pub(crate) fn post_json(address: &str, path: &str, token: Option<&str>) -> request::Builder {
    let request = Request::post(path).header(HOST, address).header(CONTENT_TYPE, "application/json");
    match token {
        Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    }
}

impl RequestSource for PostRequests {
    fn address(&self) -> &str {
        &self.address
    }

    fn expected_status(&self) -> StatusCode {
        self.expected_status
    }

    fn request(&self, nth: usize) -> anyhow::Result<Request<Full<Bytes>>> {
        const BODY: &[u8] = br#"{"runner_name_prefix":"bench","labels":["self-hosted","linux","gpu-large"]}"#;
        let token = self.tokens.get(nth % self.tokens.len().max(1));
        let mut request = post_json(&self.address, self.path, token.map(String::as_str));
        if let Some(prefer) = self.prefer {
            request = request.header("prefer", prefer);
        }
        Ok(request.body(Full::new(Bytes::from_static(BODY)))?)
    }
}

/// Requests of one caller for several paths in turn.
pub(crate) struct GetRequests {
    /// Server as `host:port`.
    pub(crate) address: String,
    /// Headers that name the caller and what the answer may be.
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) paths: Vec<String>,
}

impl RequestSource for GetRequests {
    fn address(&self) -> &str {
        &self.address
    }

    fn expected_status(&self) -> StatusCode {
        StatusCode::OK
    }

    fn request(&self, nth: usize) -> anyhow::Result<Request<Full<Bytes>>> {
        let path = self.paths.get(nth % self.paths.len().max(1)).context("no path")?;
        let request = Request::get(path).header(HOST, &self.address);
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        Ok(request.body(Full::new(Bytes::new()))?)
    }
}

/// An open HTTP/1.1 connection.
pub(crate) struct HttpConnection(SendRequest<Full<Bytes>>);

impl HttpConnection {
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot reach {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends a request and returns its response, whose body may be long.
    pub(crate) async fn begin(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Incoming>> {
        let exchange = async {
            self.0.ready().await?;
            self.0.send_request(request).await
        };
        Ok(timeout(RESPONSE_TIMEOUT, exchange).await.context("no response in time")??)
    }

    /// Sends the nth request and reads the whole response. Fails if its status is not the expected one.
    pub(crate) async fn send(&mut self, requests: &impl RequestSource, nth: usize) -> anyhow::Result<()> {
        let exchange = async {
            self.0.ready().await?;
            let response = self.0.send_request(requests.request(nth)?).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok((status, body))
        };
        let (status, body) = timeout(RESPONSE_TIMEOUT, exchange).await.context("no response in time")??;
        let text = || String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
        ensure!(status == requests.expected_status(), "{} answers {status}: {}", requests.address(), text());
        Ok(())
    }
}

/// Sends requests on every connection, each as soon as the one before it is answered, until `duration` has passed or
/// `max_requests` were sent. Returns requests per second.
pub(crate) async fn run_closed_loop<R: RequestSource + Clone>(
    requests: &R,
    duration: Duration,
    max_requests: usize,
) -> anyhow::Result<f64> {
    let (requests, sent) = (Arc::new(requests.clone()), Arc::new(AtomicUsize::new(0)));
    let mut connections = JoinSet::new();
    let start = Instant::now();
    for _ in 0..CONNECTIONS {
        let (requests, sent) = (requests.clone(), sent.clone());
        connections.spawn(async move {
            let mut connection = HttpConnection::open(requests.address()).await?;
            let mut answered = 0_u32;
            while start.elapsed() < duration {
                let nth = sent.fetch_add(1, Ordering::Relaxed);
                if nth >= max_requests {
                    break;
                }
                connection.send(requests.as_ref(), nth).await?;
                answered += 1;
            }
            anyhow::Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(connection) = connections.join_next().await {
        answered += connection??;
    }
    Ok(f64::from(answered) / start.elapsed().as_secs_f64())
}

/// Sends requests at a fixed rate, whether earlier requests are answered or not. Returns the time of each in
/// milliseconds. The time of a request that waits for a free connection counts from when it was due.
pub(crate) async fn run_open_loop<R: RequestSource + Clone>(
    requests: &R,
    per_second: u32,
    duration: Duration,
) -> anyhow::Result<Vec<f64>> {
    let (requests, next) = (Arc::new(requests.clone()), Arc::new(AtomicUsize::new(0)));
    let gap = Duration::from_secs(1) / per_second;
    let total = usize::try_from(duration.as_nanos() / gap.as_nanos().max(1)).unwrap_or(usize::MAX);
    let mut connections = JoinSet::new();
    let start = Instant::now() + Duration::from_millis(50);
    for _ in 0..CONNECTIONS {
        let (requests, next) = (requests.clone(), next.clone());
        connections.spawn(async move {
            let mut connection = HttpConnection::open(requests.address()).await?;
            let mut times = Vec::new();
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= total {
                    return anyhow::Ok(times);
                }
                let due = start + gap * u32::try_from(nth)?;
                let from = if Instant::now() < due {
                    sleep_until(due).await;
                    // The delay of the timer is not the service's.
                    Instant::now()
                } else {
                    due
                };
                connection.send(requests.as_ref(), nth).await?;
                times.push(millis(from.elapsed()));
            }
        });
    }
    let mut times = Vec::new();
    while let Some(connection) = connections.join_next().await {
        times.extend(connection??);
    }
    Ok(times)
}

/// Returns milliseconds with their fraction.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
