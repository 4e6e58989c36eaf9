//! Operations on runners: provision, explanation, removal and check.

mod explain;
mod explained_caller;
mod provision;
mod runner_job;
mod stale;

pub use explain::{Explanation, JobRule, Question};
pub use explained_caller::ExplainedCaller;
pub use provision::{ProvisionCommand, ProvisionRules, Registration};
pub use runner_job::RunnerJobRequest;
pub use stale::OrderedRemovals;
