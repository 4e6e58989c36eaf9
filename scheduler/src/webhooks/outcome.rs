//! Outcome of a processed webhook delivery, with the actions that follow from it.

use domain::{InstallationId, JobId, JobParams, Source};
use store::{InboxState, NewJob};

/// What became of a delivery, and what is to be done once that is committed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) state: InboxState,
    pub(crate) note: String,
    /// A runner to be looked at on GitHub.
    pub(crate) check: Option<NewJob>,
    /// An installation that must wait (true) or may go on.
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

/// A look at the runner of a workflow job that is over: whether it is gone is known only by asking.
pub(crate) fn check_of(runner: &domain::Runner) -> NewJob {
    NewJob {
        id: JobId::new(),
        installation: runner.installation.clone(),
        team: Some(runner.team),
        requester: None,
        runner: Some(runner.id),
        call: None,
        params: JobParams::DriftCheck { source: Source::Webhook },
        trace: None,
    }
}
