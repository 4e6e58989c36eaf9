//! What GitHub allows one installation: its limits, what is left of them, and who may spend it.
//!
//! The claim pays for a job's first request: provision for one write on `generate-jitconfig`, one registration and one
//! of the primary window; deprovision and drift for one read on `runner`. For every further request the running job
//! asks [`crate::Queue::permit_job`], and so it does for the one that was paid for when that is sent late. A job has at most one request under way, so the leases of an installation are its
//! concurrency, and a holder that dies frees its place when its lease ends.
//!
//! Redis may forget everything at any time: levels start at a small burst, windows are learned from the next answer.

mod calls;
mod settings;
mod view;

pub use calls::{Availability, Call, End, Observation, Permit, Prepaid};
pub use settings::{BreakerSettings, BudgetSettings};
pub use view::{Breaker, BudgetView, Points, Window};

use crate::QueueError;

/// Endpoints and resources become parts of keys: 1 to 40 of `a-z`, `0-9`, `_` and `-`.
fn check(name: &str) -> Result<&str, QueueError> {
    let fits = (1..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if fits { Ok(name) } else { Err(QueueError::BadName("1 to 40 characters of a-z, 0-9, _ and -")) }
}
