//! How work is carried: the only room that speaks to Redis. It knows ranks, leases, lanes, pauses and GitHub's limits,
//! and nothing of what the jobs are about.
//!
//! Redis is the queue, not the truth: it may be flushed at any time. Every script is idempotent, the caller's sweep
//! puts back what is missing, and running workers put their leases back at the next renewal.
//!
//! * [`Queue`]: typed calls of the scripts in `scripts/`.
//! * [`backend()`]: the same as an apalis backend, with a dispatcher that claims, renews and settles.
//! * [`BudgetSettings`], [`Observation`], [`Call`]: what GitHub allows an installation, learned from its answers, paid
//!   for by the claim and by [`Queue::permit`].
//! * [`Announcements`]: one subscription per process that tells waiting requests when a job moved.

mod address;
mod announce;
mod backend;
mod budget;
mod config;
mod connection;
mod error;
mod finder;
mod forecast;
mod lease;
mod loop_heartbeat;
mod pause;
mod position;
mod queue;
mod readable;
mod scripts;
mod shared_values;
mod ticket;

pub use announce::{Announcements, News, Watch};
pub use backend::{
    AckLayer, AckService, ApalisBackend, BackendSettings, Claimed, Dispatcher, Outcome, PrepaidRequest,
    backend,
};
pub use budget::{
    Availability, Breaker, BreakerSettings, BudgetSettings, BudgetView, Call, End, Observation, Permit,
    Points, Prepaid, Window,
};
pub use config::QueueConfig;
pub use error::QueueError;
pub use forecast::{Forecast, ProspectiveJob, TeamLoad};
pub use lease::{Cancelled, Claim, Claimer, Lease, LeaseToken, Settle};
pub use pause::{Pause, Paused, Reason, Scope};
pub use position::{JobPlace, LaneStats, QueuePosition, Stats};
pub use queue::Queue;
pub use shared_values::LockToken;
pub use ticket::Ticket;
