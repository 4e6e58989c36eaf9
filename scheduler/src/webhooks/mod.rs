//! Steps that act upon webhooks, and what they lead to.

pub mod cancel_workflow_runs;
pub mod inbox;
mod outcome;
pub mod redeliver;
pub mod suspension;
pub(crate) mod workflow_job;
