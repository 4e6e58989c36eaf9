//! Outcome of a processed webhook delivery, with the actions that follow from it.

use domain::{InstallationId, JobParams, Runner, Source};
use operations::service_job;
use store::{InboxState, NewJob};

/// Outcome of a delivery, and the actions that follow its commit.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) state: InboxState,
    pub(crate) note: String,
    /// Check of a runner to insert with the outcome.
    pub(crate) check: Option<NewJob>,
    /// Installation to pause (true) or to resume.
    pub(crate) pause: Option<(InstallationId, bool)>,
}

impl Outcome {
    pub(crate) fn processed(note: impl Into<String>) -> Self {
        Self { state: InboxState::Processed, note: note.into(), check: None, pause: None }
    }

    pub(crate) fn ignored(note: impl Into<String>) -> Self {
        Self { state: InboxState::Ignored, ..Self::processed(note) }
    }
}

/// Returns a check of the runner whose workflow job is over: only GitHub knows whether the runner is gone.
pub(crate) fn runner_check(runner: &Runner) -> NewJob {
    let params = JobParams::DriftCheck { source: Source::Webhook };
    service_job(&runner.installation, Some(runner.team), Some(runner.id), params)
}
