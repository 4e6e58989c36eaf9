//! The queue as an apalis backend.
//!
//! apalis polls; nothing here does I/O while polled. A dispatcher task owns every call: it claims as many jobs as
//! slots are free, settles what the handlers answered and gives back what was never started. Redis faults stay in
//! the dispatcher: to apalis this backend never fails.

mod ack;
mod bell;
mod dispatcher;
mod held;
mod inbox;
mod lanes;
mod prepaid;
mod renewer;

pub(crate) use ack::Ack;
pub use ack::{AckLayer, AckService, Outcome};
pub use dispatcher::Dispatcher;
pub use lanes::{BackendSettings, LaneBackend, backend};
pub use prepaid::Prepaid;

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
    pub prepaid: Prepaid,
    /// Fires when the lease is lost or about to end: stop, and record nothing.
    pub cancelled: CancellationToken,
}
