//! How work is carried: the only room that speaks to Redis. It knows ranks, leases, lanes, pauses and GitHub's limits,
//! and nothing of what the jobs are about.
//!
//! Redis is the spine, not the truth: it may be flushed at any time. Every script is idempotent, the caller's sweep
//! puts back what is missing, and running workers put their leases back at the next renewal.
//!
//! * [`Spine`]: typed calls of the scripts in `scripts/`.
//! * [`backend()`]: the same as an apalis backend, with a dispatcher that claims, renews and settles.
//! * [`BudgetSettings`], [`Observation`], [`Call`]: what GitHub allows an installation, learned from its answers, paid
//!   for by the claim and by [`Spine::permit`].
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
mod pause;
mod pulse;
mod readable;
mod scripts;
mod shared;
mod spine;
mod standing;
mod ticket;

pub use announce::{Announcements, News, Watch};
pub use backend::{
    AckLayer, AckService, BackendSettings, Claimed, Dispatcher, LaneBackend, Outcome, Prepaid, backend,
};
pub use budget::{
    Breaker, BreakerSettings, BudgetSettings, BudgetView, Call, End, Health, Observation, Paid, Permit,
    Points, Window,
};
pub use config::SpineConfig;
pub use error::QueueError;
pub use forecast::{Forecast, Prospect, TeamLoad};
pub use lease::{Cancelled, Claim, Claimer, Lease, LeaseToken, Settle};
pub use pause::{Pause, Paused, Reason, Scope};
pub use shared::LockToken;
pub use spine::Spine;
pub use standing::{LaneStats, Place, Standing, Stats};
pub use ticket::Ticket;
