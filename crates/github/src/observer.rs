//! What others may learn from each answer.

use std::{pin::Pin, time::Duration};

use chrono::{DateTime, Utc};
use http::Method;

use crate::{error::LimitKind, headers::RateHeaders};

/// One exchange with GitHub, whatever came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The operation, in GitHub's words.
    pub operation: &'static str,
    /// The method sent.
    pub method: Method,
    /// The status; `None` when no answer came.
    pub status: Option<u16>,
    /// The window this call was counted in; absent on servers without limits.
    pub rate: Option<RateHeaders>,
    /// GitHub wants no call for so long: which limit was met, or `Retry-After` on any status.
    pub limit: Option<(LimitKind, Duration)>,
    /// GitHub says that it has suspended the installation.
    pub suspended: bool,
    /// `x-github-request-id`.
    pub request_id: Option<String>,
    /// From sending to the last byte.
    pub took: Duration,
    /// GitHub's clock.
    pub server_date: Option<DateTime<Utc>>,
}

/// Sees every answer, errors, 304 and token mints included, and every transport failure.
///
/// Called on the caller's task: return at once.
pub trait Observer: Send + Sync {
    /// One exchange is over.
    fn on_response(&self, answer: &Exchange);
    /// The caller of an exchange was dropped before an answer came; nobody learns whether one comes.
    fn on_abandoned(&self, operation: &'static str) {
        let _ = operation;
    }
}

/// What a [`Gate`] answers with: nothing, or how long to send nothing.
pub type GateFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Duration>> + Send + 'a>>;

/// Decides before each request, token mints included; only its repetition after a 401 is not asked about. A request it
/// holds back is not sent and fails with `GitHubError::Held`.
pub trait Gate: Send + Sync {
    /// May this operation be sent now?
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

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopObserver;

impl Observer for NoopObserver {
    fn on_response(&self, _: &Exchange) {}
}
