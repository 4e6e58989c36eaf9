//! The queue as an apalis backend.
//!
//! apalis polls; nothing here does I/O while polled. A dispatcher task owns every call: it claims as many jobs as
//! slots are free, settles what the handlers answered and gives back what was never started. Redis faults stay in
//! the dispatcher: to apalis this backend never fails.

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

/// A job as the handler gets it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The job and the proof that it is ours.
    pub lease: Lease,
    /// When its claim was asked for. What the claim saw and paid for may be older than the job's start.
    pub since: Instant,
    /// The request its claim paid for.
    pub prepaid: PrepaidRequest,
    /// Fires when the lease is lost or about to end: stop, and record nothing.
    pub cancelled: CancellationToken,
}
