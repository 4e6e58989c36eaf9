//! Acknowledgement layer: turns a handler's result into the end of its lease.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
    time::Duration,
};

use apalis_core::{
    error::BoxDynError,
    task::{Task, into_response::IntoResponse},
};
use futures::{FutureExt, future::BoxFuture};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use super::{Claimed, PrepaidRequest};
use crate::{Lease, Settle};

/// Delay before a job whose handler failed, panicked or was dropped starts again. The counters in the job's row then
/// decide how it continues.
const FAILURE_DELAY: Duration = Duration::from_secs(1);

/// Result of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result is recorded; the queue removes the job.
    Done,
    /// Start it again after this delay.
    Later(Duration),
    /// Start it again at once, in this or another worker.
    Release,
}

impl IntoResponse for Outcome {
    type Output = Self;

    fn into_response(self) -> Result<Self, BoxDynError> {
        Ok(self)
    }
}

/// The end of one lease.
#[derive(Debug)]
pub(crate) struct Ack {
    pub(crate) lease: Lease,
    pub(crate) end: Settle,
    /// The request that the claim paid for was not sent.
    pub(crate) unsent: bool,
}

impl Ack {
    /// Returns the end of a lease whose prepaid request counts as sent.
    pub(crate) fn new(lease: Lease, end: Settle) -> Self {
        Self { lease, end, unsent: false }
    }
}

/// The handler panicked.
#[derive(Debug, thiserror::Error)]
#[error("the handler panicked: {0}")]
struct Panicked(String);

/// Wraps every handler so that each delivered job is acknowledged exactly once.
#[derive(Clone, Debug)]
pub struct AckLayer {
    pub(super) acks: mpsc::UnboundedSender<Ack>,
}

impl<S> Layer<S> for AckLayer {
    type Service = AckService<S>;

    fn layer(&self, inner: S) -> AckService<S> {
        AckService { inner, acks: self.acks.clone() }
    }
}

/// Service made by [`AckLayer`].
#[derive(Clone, Debug)]
pub struct AckService<S> {
    inner: S,
    acks: mpsc::UnboundedSender<Ack>,
}

impl<S> Service<Task<Claimed>> for AckService<S>
where
    S: Service<Task<Claimed>, Response = Outcome>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = Outcome;
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<Outcome, BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Claimed>) -> Self::Future {
        let mut ack = PendingAck::new(&task.args, self.acks.clone());
        let run = self.inner.call(task);
        Box::pin(async move {
            let result = match AssertUnwindSafe(run).catch_unwind().await {
                Ok(result) => result.map_err(Into::into),
                Err(panic) => Err(Panicked(text_of(panic.as_ref())).into()),
            };
            match &result {
                Ok(Outcome::Done) => ack.send(Settle::Finish),
                Ok(Outcome::Later(delay)) => ack.send(Settle::Snooze(*delay)),
                Ok(Outcome::Release) => ack.send(Settle::Release),
                Err(error) => {
                    tracing::error!(job = %ack.lease.job, error = error.as_ref() as &dyn std::error::Error,
                        "Job handler failed");
                    ack.send(Settle::Snooze(FAILURE_DELAY));
                }
            }
            result
        })
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
}

/// Acknowledgement of one job; sent on drop if the handler did not finish.
struct PendingAck {
    lease: Lease,
    prepaid: PrepaidRequest,
    cancelled: CancellationToken,
    acks: mpsc::UnboundedSender<Ack>,
    sent: bool,
}

impl PendingAck {
    fn new(job: &Claimed, acks: mpsc::UnboundedSender<Ack>) -> Self {
        let Claimed { lease, prepaid, cancelled, .. } = job.clone();
        Self { lease, prepaid, cancelled, acks, sent: false }
    }

    fn send(&mut self, end: Settle) {
        self.sent = true;
        // After the dispatcher gave up at shutdown there is no receiver; the lease then expires.
        let _ = self.acks.send(Ack { lease: self.lease.clone(), end, unsent: self.prepaid.is_unused() });
    }
}

impl Drop for PendingAck {
    fn drop(&mut self) {
        if !self.sent {
            // A handler moved to its own task may still run: cancel it.
            self.cancelled.cancel();
            self.send(Settle::Snooze(FAILURE_DELAY));
        }
    }
}
