//! Job queue on Redis: ranks, leases, lanes, pauses and GitHub budgets. The crate is the only one that talks to Redis,
//! and it does not know what the jobs do.
//!
//! PostgreSQL is the source of truth; Redis may be flushed at any time. Every script is idempotent. The scheduler
//! enqueues missing jobs again, and running workers restore their leases at the next renewal.
//!
//! * [`Queue`]: typed calls of the scripts in `scripts/`.
//! * [`backend()`]: the queue as an apalis backend, with a dispatcher that claims, renews and settles.
//! * [`BudgetSettings`], [`Observation`], [`Call`]: GitHub's limits for an installation, learned from its responses and
//!   charged by the claim and by [`Queue::permit`].
//! * [`Announcements`]: one subscription per process that notifies waiting requests of changed jobs.

mod address;
mod announce;
mod backend;
mod budget;
mod config;
mod connection;
mod error;
mod facts;
mod finder;
mod forecast;
mod leaders;
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
    Availability, Breaker, BreakerSettings, BudgetSettings, BudgetView, Call, End, InstallationBudget,
    Observation, Permit, Points, PoolPlace, Prepaid, Window,
};
pub use config::QueueConfig;
pub use error::QueueError;
pub use facts::RedisFacts;
pub use forecast::{Forecast, ProspectiveJob, TeamBacklog, TeamLoad};
pub use leaders::Leader;
pub use lease::{Cancelled, Claim, Claimer, Lease, LeaseToken, Settle};
pub use pause::{Pause, Paused, Reason, Scope};
pub use position::{JobPlace, LaneStats, QueuePosition, Stats};
pub use queue::Queue;
pub use shared_values::LockToken;
pub use ticket::Ticket;
