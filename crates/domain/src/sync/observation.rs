//! Observations of runners on GitHub and the status changes they cause.

use crate::{RunnerId, RunnerStatus, string_enum::string_enum};

string_enum! {
    /// Origin of a status change or of the request for a check.
    Source {
        /// A sync run, or a job created by one.
        Sync = "sync",
        /// A webhook.
        Webhook = "webhook",
        /// A check of this runner requested by a caller.
        Refresh = "refresh",
        /// An API request.
        Api = "api",
        /// A job that creates or removes runners.
        Job = "job",
    }
}

/// Observed state of one runner on GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The runner exists.
    There {
        /// Whether GitHub reports it online.
        online: bool,
        /// Whether it runs a workflow job.
        busy: bool,
    },
    /// The runner does not exist, with proof from GitHub.
    Gone,
}

/// Returns the status after an observation; `None` if it does not change.
///
/// A `pending` runner that GitHub lists as offline was never online and stays `pending`. Only its own job changes a
/// `requested` runner.
pub const fn transition(from: RunnerStatus, seen: Observation) -> Option<RunnerStatus> {
    use RunnerStatus::{Active, Deleted, Offline, Pending, Requested};
    match (from, seen) {
        (Pending | Active | Offline, Observation::Gone) => Some(Deleted),
        // A busy runner has been online, so a pending one came online between two observations.
        (Pending, Observation::There { online: true, .. } | Observation::There { busy: true, .. })
        | (Offline, Observation::There { online: true, .. }) => Some(Active),
        (Active, Observation::There { online: false, .. }) => Some(Offline),
        (Requested | Deleted | Pending | Active | Offline, _) => None,
    }
}

/// A label as GitHub reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenLabel {
    /// Text of the label.
    pub name: String,
    /// Whether GitHub itself added the label.
    pub read_only: bool,
    /// Whether GitHub reports the label as added by a person. GitHub may report neither.
    pub custom: bool,
}

/// A runner as GitHub reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRunner {
    /// GitHub's id of the runner.
    pub github_id: i64,
    /// Name of the runner.
    pub name: String,
    /// Whether GitHub reports it online.
    pub online: bool,
    /// Whether it runs a workflow job.
    pub busy: bool,
    /// Id of the runner group, if GitHub reports it.
    pub runner_group_id: Option<i64>,
    /// Labels of the runner.
    pub labels: Vec<SeenLabel>,
}

impl SeenRunner {
    /// Returns the part that decides about the status.
    pub const fn observation(&self) -> Observation {
        Observation::There { online: self.online, busy: self.busy }
    }
}

/// A change of one runner row, applied only if the row still has the expected status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// The runner.
    pub runner: RunnerId,
    /// Expected status; `None` accepts any but `deleted`.
    pub from: Option<RunnerStatus>,
    /// New status; equal to `from` if only `busy` changes.
    pub to: RunnerStatus,
    /// Whether the runner runs a workflow job.
    pub busy: bool,
    /// Reason, for the history.
    pub detail: Option<String>,
}

impl StatusChange {
    /// Returns the change to `deleted` from any other status.
    pub fn deleted(runner: RunnerId, detail: impl Into<String>) -> Self {
        Self { runner, from: None, to: RunnerStatus::Deleted, busy: false, detail: Some(detail.into()) }
    }

    /// Returns the change that an observation causes; `None` if nothing changes.
    pub fn observed(runner: RunnerId, from: RunnerStatus, was_busy: bool, seen: Observation) -> Option<Self> {
        let to = transition(from, seen);
        let busy = matches!(seen, Observation::There { busy: true, .. });
        let known = matches!(from, RunnerStatus::Requested | RunnerStatus::Deleted);
        (to.is_some() || (!known && busy != was_busy)).then(|| Self {
            runner,
            from: Some(from),
            to: to.unwrap_or(from),
            busy,
            detail: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RunnerStatus::{Active, Deleted, Offline, Pending, Requested};

    fn there(online: bool, busy: bool) -> Observation {
        Observation::There { online, busy }
    }

    #[test]
    fn every_state_meets_every_observation() {
        let idle = there(true, false);
        let away = there(false, false);
        for (from, seen, to) in [
            (Requested, idle, None),
            (Requested, Observation::Gone, None),
            (Pending, away, None),
            (Pending, idle, Some(Active)),
            (Pending, there(false, true), Some(Active)),
            (Pending, Observation::Gone, Some(Deleted)),
            (Active, idle, None),
            (Active, away, Some(Offline)),
            (Active, there(false, true), Some(Offline)),
            (Active, Observation::Gone, Some(Deleted)),
            (Offline, away, None),
            (Offline, there(false, true), None),
            (Offline, idle, Some(Active)),
            (Offline, Observation::Gone, Some(Deleted)),
            (Deleted, idle, None),
            (Deleted, Observation::Gone, None),
        ] {
            assert_eq!(transition(from, seen), to, "{from} {seen:?}");
            assert!(to.is_none_or(|to| from.may_become(to)), "{from} {seen:?}");
        }
    }
}
