//! Operations on runners: provision, removal and check.

mod provision;
mod runner_job;
mod stale;

pub use provision::{ProvisionCommand, ProvisionRules, Registration};
pub use runner_job::RunnerJobRequest;
pub use stale::OrderedRemovals;
