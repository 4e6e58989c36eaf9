//! How work is carried: the only room that speaks to Redis. It knows ranks, leases, lanes and pauses, and nothing of
//! what the jobs are about.
//!
//! Redis is the spine, not the truth: it may be flushed at any time. Every script is idempotent, the caller's sweep
//! puts back what is missing, and running workers put their leases back at the next renewal.
//!
//! * [`Spine`]: typed calls of the scripts in `scripts/`.
//! * [`backend()`]: the same as an apalis backend, with a dispatcher that claims, renews and settles.
//! * [`Announcements`]: one subscription per process that tells waiting requests when a job moved.

mod announce;
mod backend;
mod config;
mod connection;
mod error;
mod lease;
mod pause;
mod scripts;
mod spine;
mod standing;
mod ticket;

pub use announce::{Announcements, News, Watch};
pub use backend::{
    AckLayer, AckService, BackendSettings, Claimed, Dispatcher, LaneBackend, Outcome, backend,
};
pub use config::SpineConfig;
pub use error::QueueError;
pub use lease::{Cancelled, Claim, Claimer, Lease, LeaseToken, Settle};
pub use pause::{Pause, Paused, Reason, Scope};
pub use spine::Spine;
pub use standing::{LaneStats, Place, Standing, Stats};
pub use ticket::Ticket;
