//! Budget of one installation: GitHub's limits, the rest of them, and the shares of lanes and teams.
//!
//! The claim pays for a job's dearest request (`FIRST` in `budget.lua`): provision for one write and one registration,
//! deprovision for one write, drift for one read. The running job asks [`crate::Queue::permit_job`] for every further
//! request, and for the prepaid one if it is sent late.
//!
//! A job has at most one request in flight. The leases of an installation are therefore its concurrency, and the slot
//! of a dead worker is free when its lease ends.
//!
//! Redis may lose everything at any time: buckets restart with a small burst, and windows are learned from the next
//! response.

mod calls;
mod settings;
mod view;

pub use calls::{Availability, Call, End, Observation, Permit, Prepaid};
pub use settings::{BreakerSettings, BudgetSettings, InstallationBudget, PoolPlace};
pub use view::{Breaker, BudgetView, Points, Window};

use crate::QueueError;

/// Returns a name that may be part of a key (endpoint or resource): 1 to 40 of `a-z`, `0-9`, `_` and `-`.
fn validate_name(name: &str) -> Result<&str, QueueError> {
    let fits = (1..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if fits { Ok(name) } else { Err(QueueError::BadName("1 to 40 characters of a-z, 0-9, _ and -")) }
}
