//! Steps that process webhooks and the actions that follow from them.

pub mod cancel_workflow_runs;
pub mod inbox;
mod outcome;
pub mod redeliver;
pub mod suspension;
mod workflow_job;
