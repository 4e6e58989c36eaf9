//! Observer of all responses, and gate in front of all requests.

use std::{pin::Pin, time::Duration};

use chrono::{DateTime, Utc};
use http::Method;

use crate::{error::LimitKind, headers::RateHeaders};

/// One exchange with GitHub, successful or not.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// GitHub's name of the operation.
    pub operation: &'static str,
    /// The method sent.
    pub method: Method,
    /// Status of the response; `None` without a response.
    pub status: Option<u16>,
    /// The window in which this call was counted; `None` on servers without limits.
    pub rate: Option<RateHeaders>,
    /// Limit that applies, with the time to send no request: a rate limit, or `Retry-After` on any status.
    pub limit: Option<(LimitKind, Duration)>,
    /// Whether GitHub says that it has suspended the installation.
    pub suspended: bool,
    /// `x-github-request-id`.
    pub request_id: Option<String>,
    /// Time from sending to the last byte.
    pub took: Duration,
    /// Time of GitHub's clock.
    pub server_date: Option<DateTime<Utc>>,
}

/// Receiver of every response (errors, 304 and token mints included) and every transport failure.
///
/// Its methods run on the caller's task and must return at once.
pub trait Observer: Send + Sync {
    /// Called at the end of an exchange.
    fn on_response(&self, exchange: &Exchange);
    /// Called when the caller of an exchange is dropped before a response; it stays unknown whether one comes.
    fn on_abandoned(&self, operation: &'static str) {
        let _ = operation;
    }
}

/// Result of a [`Gate`]: `Ok`, or the time to send nothing.
pub type GateFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Duration>> + Send + 'a>>;

/// Decides before each request, token mints included; only its repetition after a 401 is not checked. A held request is
/// not sent and fails with `GitHubError::Held`.
pub trait Gate: Send + Sync {
    /// Returns `Ok` if this operation may be sent now, otherwise the time to wait.
    fn admit(&self, operation: &'static str, method: &Method) -> GateFuture<'_>;
}

/// A gate that is always open.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysOpen;

impl Gate for AlwaysOpen {
    fn admit(&self, _: &'static str, _: &Method) -> GateFuture<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// An observer that ignores all responses.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopObserver;

impl Observer for NoopObserver {
    fn on_response(&self, _: &Exchange) {}
}
