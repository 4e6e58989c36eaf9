//! Apalis backend of the queue.
//!
//! apalis polls the backend; no I/O happens while it polls. A dispatcher task claims as many jobs as slots are free,
//! settles finished jobs and returns unstarted ones. Redis failures stay in the dispatcher, so apalis never sees an
//! error.

mod ack;
mod apalis_backend;
mod dispatcher;
mod inbox;
mod lease_table;
mod prepaid;
mod renewer;
mod wakeup;

pub(crate) use ack::Ack;
pub use ack::{AckLayer, AckService, Outcome};
pub use apalis_backend::{ApalisBackend, BackendSettings, backend};
pub use dispatcher::Dispatcher;
pub use prepaid::PrepaidRequest;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Lease;

/// A claimed job, as the handler receives it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The job and the proof of ownership.
    pub lease: Lease,
    /// Time at which the claim was sent. The budget that the claim saw may be older than the job's start.
    pub since: Instant,
    /// The request that the claim paid for.
    pub prepaid: PrepaidRequest,
    /// Fires when the lease is lost or about to end: stop, and record nothing.
    pub cancelled: CancellationToken,
}
