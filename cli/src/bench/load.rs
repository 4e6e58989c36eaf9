//! Load: many connections that ask, and how long the answers take.

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
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// Connections at a time.
pub(super) const CONNECTIONS: usize = 64;
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is sent again and again.
pub(super) trait Requests: Send + Sync + 'static {
    /// `host:port`.
    fn address(&self) -> &str;
    /// The status that counts as success.
    fn expects(&self) -> StatusCode;
    /// The nth one.
    fn request(&self, nth: usize) -> anyhow::Result<Request<Full<Bytes>>>;
}

/// One kind of request of a caller.
#[derive(Clone)]
pub(super) struct Ask {
    /// `host:port`.
    pub(super) address: String,
    /// What is posted to.
    pub(super) path: &'static str,
    /// The callers' tokens, used in turn; none: without.
    pub(super) tokens: Vec<String>,
    /// `Prefer`, if any.
    pub(super) prefer: Option<&'static str>,
    /// The status that counts as success.
    pub(super) expects: StatusCode,
}

impl Ask {
    /// A request for a runner.
    pub(super) fn provision(address: &str, tokens: &[String]) -> Self {
        Self {
            address: address.to_owned(),
            path: "/api/v1/runners/jit",
            tokens: tokens.to_vec(),
            prefer: None,
            expects: StatusCode::ACCEPTED,
        }
    }
}

impl Requests for Ask {
    fn address(&self) -> &str {
        &self.address
    }

    fn expects(&self) -> StatusCode {
        self.expects
    }

    fn request(&self, nth: usize) -> anyhow::Result<Request<Full<Bytes>>> {
        const BODY: &[u8] = br#"{"runner_name_prefix":"bench","labels":["self-hosted","linux","gpu-large"]}"#;
        let mut request = Request::post(self.path).header(HOST, &self.address);
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some(token) = self.tokens.get(nth % self.tokens.len().max(1)) {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(prefer) = self.prefer {
            request = request.header("prefer", prefer);
        }
        Ok(request.body(Full::new(Bytes::from_static(BODY)))?)
    }
}

/// One open connection.
pub(super) struct Line(SendRequest<Full<Bytes>>);

impl Line {
    pub(super) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot reach {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends the nth request and reads the whole answer.
    pub(super) async fn send(&mut self, ask: &impl Requests, nth: usize) -> anyhow::Result<()> {
        let exchange = async {
            self.0.ready().await?;
            let answer = self.0.send_request(ask.request(nth)?).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            anyhow::Ok((status, body))
        };
        let (status, body) = timeout(PATIENCE, exchange).await.context("no answer in time")??;
        let text = || String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
        ensure!(status == ask.expects(), "{} answers {status}: {}", ask.address(), text());
        Ok(())
    }
}

/// Every connection sends as soon as it has its answer, for so long, or so many in all. Answers requests a second.
pub(super) async fn closed_loop<R: Requests + Clone>(
    ask: &R,
    time: Duration,
    most: usize,
) -> anyhow::Result<f64> {
    let (ask, sent) = (Arc::new(ask.clone()), Arc::new(AtomicUsize::new(0)));
    let mut lines = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..CONNECTIONS {
        let (ask, sent) = (ask.clone(), sent.clone());
        lines.spawn(async move {
            let mut line = Line::open(ask.address()).await?;
            let mut done = 0_u32;
            while begun.elapsed() < time {
                let nth = sent.fetch_add(1, Ordering::Relaxed);
                if nth >= most {
                    break;
                }
                line.send(ask.as_ref(), nth).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(line) = lines.join_next().await {
        done += line??;
    }
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}

/// Requests are due at a fixed pace, whether earlier ones are answered or not. Answers each time in milliseconds; a
/// request that had to wait for a free connection waited from when it was due.
pub(super) async fn open_loop<R: Requests + Clone>(
    ask: &R,
    pace: u32,
    time: Duration,
) -> anyhow::Result<Vec<f64>> {
    let (ask, next) = (Arc::new(ask.clone()), Arc::new(AtomicUsize::new(0)));
    let gap = Duration::from_secs(1) / pace;
    let total = usize::try_from(time.as_nanos() / gap.as_nanos().max(1)).unwrap_or(usize::MAX);
    let mut lines = JoinSet::new();
    let begun = Instant::now() + Duration::from_millis(50);
    for _ in 0..CONNECTIONS {
        let (ask, next) = (ask.clone(), next.clone());
        lines.spawn(async move {
            let mut line = Line::open(ask.address()).await?;
            let mut times = Vec::new();
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= total {
                    return anyhow::Ok(times);
                }
                let due = begun + gap * u32::try_from(nth)?;
                let from = if Instant::now() < due {
                    sleep_until(due).await;
                    // The timer's own coarseness is not the service's.
                    Instant::now()
                } else {
                    due
                };
                line.send(ask.as_ref(), nth).await?;
                times.push(millis(from.elapsed()));
            }
        });
    }
    let mut times = Vec::new();
    while let Some(line) = lines.join_next().await {
        times.extend(line??);
    }
    Ok(times)
}

/// Milliseconds with their fractions.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
