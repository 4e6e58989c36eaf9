//! A config nobody used in time: its runner goes, and its place in the quota returns.

use domain::{JobId, JobParams, Leftover, Removal, Runner};
use store::NewJob;

use crate::{Parts, StepError, send::send};

/// Runners of one step.
const MOST: i64 = 200;

/// Sends a job after every runner whose config was issued longer ago than it lives and that never came online. The job
/// looks again: one that is online after all is left alone. Answers how many.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let unused = parts.store.read().await?.runners().unused(parts.watch.config_life, MOST).await?;
    let jobs: Vec<NewJob> = unused.iter().map(|runner| removal(runner, Leftover::Unused)).collect();
    send(&parts, &jobs).await
}

/// The job that removes a leftover.
pub(crate) fn removal(runner: &Runner, why: Leftover) -> NewJob {
    NewJob {
        id: JobId::new(),
        installation: runner.installation.clone(),
        team: Some(runner.team),
        requester: None,
        runner: Some(runner.id),
        call: None,
        params: JobParams::Deprovision(Removal::Leftover { why }),
        trace: None,
    }
}
