//! Conclusions from GitHub's reports about runners: status transitions and drift.
//!
//! A runner that a list merely omitted is checked again; it is never taken for deleted.

use std::{collections::HashSet, fmt::Write as _};

use aws_lc_rs::digest;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{DriftResponse, RunnerId, RunnerStatus, fold_label, is_system_label, string_enum::string_enum};

mod comparison;

pub use comparison::{
    Absence, BLAST_RADIUS_MIN, BLAST_RADIUS_PERCENT, LiveRunner, MISSES_BEFORE_CHECK, MISSES_OF_ANY_KIND,
    Suspect, SyncFindings, SyncPass,
};

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

/// Time after registration in which GitHub may not yet know a runner that was never online.
pub const REGISTRATION_GRACE: TimeDelta = TimeDelta::seconds(60);
/// Time for which an admin's approval of removals is valid.
pub const REMOVAL_APPROVAL_TTL: TimeDelta = TimeDelta::minutes(15);

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

/// Difference between a runner on GitHub and the request that created it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "deviation", rename_all = "snake_case")]
pub enum Deviation {
    /// GitHub's id belongs to another name. The service changes nothing about this runner.
    Name {
        /// Name that GitHub reports.
        found: String,
    },
    /// The labels differ.
    Labels {
        /// Bound labels that are missing on GitHub.
        missing: Vec<String>,
        /// Labels on GitHub that were not bound, in lower case.
        extra: Vec<String>,
    },
}

impl Deviation {
    /// Returns the first deviation of `seen` from the bound `name` and `labels`. Labels compare as [`fold_label`]
    /// writes them. Only labels that GitHub reports as added by a person count as extra.
    pub fn of(name: &str, labels: &[String], seen: &SeenRunner) -> Option<Self> {
        if seen.name != name {
            return Some(Self::Name { found: seen.name.chars().take(200).collect() });
        }
        let theirs: HashSet<String> = seen.labels.iter().map(|label| fold_label(&label.name)).collect();
        let ours: HashSet<String> = labels.iter().map(|label| fold_label(label)).collect();
        let missing: Vec<String> = labels
            .iter()
            .filter(|label| !is_system_label(label) && !theirs.contains(&fold_label(label)))
            .cloned()
            .collect();
        let mut extra: Vec<String> = seen
            .labels
            .iter()
            .filter(|label| label.custom)
            .map(|label| fold_label(&label.name))
            .filter(|label| !ours.contains(label))
            .collect();
        extra.sort_unstable();
        (!missing.is_empty() || !extra.is_empty()).then_some(Self::Labels { missing, extra })
    }

    /// Returns 64 hexadecimal characters, equal for equal deviations, so that each deviation is reported once.
    pub fn fingerprint(&self) -> String {
        let text = match self {
            Self::Name { found } => format!("name\n{found}"),
            Self::Labels { missing, extra } => {
                let mut gone: Vec<String> = missing.iter().map(|label| fold_label(label)).collect();
                gone.sort_unstable();
                format!("labels\n-{}\n+{}", gone.join("\n-"), extra.join("\n+"))
            }
        };
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Drift settings of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftRules {
    /// Whether drift is acted upon, not only recorded.
    pub enforce: bool,
    /// Whether runners that run a workflow job are deleted too.
    pub delete_busy: bool,
}

impl Default for DriftRules {
    fn default() -> Self {
        Self { enforce: true, delete_busy: false }
    }
}

/// Action on changed labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Only record the drift.
    Record,
    /// Only record the drift, because the runner runs a workflow job.
    Spare,
    /// Restore the labels.
    Repair,
    /// Delete the runner.
    Delete,
}

impl DriftRules {
    /// Returns the action for one runner under its team's response.
    pub const fn remedy(self, response: DriftResponse, busy: bool) -> Remedy {
        match response {
            DriftResponse::Observe => Remedy::Record,
            _ if !self.enforce => Remedy::Record,
            DriftResponse::Delete if busy && self.delete_busy => Remedy::Delete,
            _ if busy => Remedy::Spare,
            DriftResponse::Repair => Remedy::Repair,
            DriftResponse::Delete => Remedy::Delete,
        }
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

    pub(super) fn seen(labels: &[(&str, bool)]) -> SeenRunner {
        SeenRunner {
            github_id: 7,
            name: "ci-1".into(),
            online: true,
            busy: false,
            runner_group_id: Some(1),
            labels: labels
                .iter()
                .map(|(name, read_only)| SeenLabel {
                    name: (*name).into(),
                    read_only: *read_only,
                    custom: !*read_only,
                })
                .collect(),
        }
    }

    pub(super) fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn case_and_githubs_own_labels_are_no_drift() {
        let ours = labels(&["Team-Red", "gpu", "self-hosted"]);
        let same = seen(&[("team-red", false), ("GPU", false), ("Linux", true), ("X64", true)]);
        assert_eq!(Deviation::of("ci-1", &ours, &same), None);
        let drifted = seen(&[("team-red", false), ("Prod", false), ("b", false)]);
        let deviation = Deviation::of("ci-1", &ours, &drifted).unwrap();
        let expected = Deviation::Labels { missing: labels(&["gpu"]), extra: labels(&["b", "prod"]) };
        assert_eq!(deviation, expected);
        let renamed = SeenRunner { name: "other".into(), ..drifted };
        assert_eq!(Deviation::of("ci-1", &ours, &renamed), Some(Deviation::Name { found: "other".into() }));
    }

    #[test]
    fn a_label_without_type_is_no_drift() {
        let untyped = |name: &str| SeenLabel { name: name.into(), read_only: false, custom: false };
        let names = ["GPU", "self-hosted", "Linux", "X64", "RISCV64"];
        let there = SeenRunner { labels: names.map(untyped).to_vec(), ..seen(&[]) };
        assert_eq!(Deviation::of("ci-1", &labels(&["gpu"]), &there), None);
        let missing = Deviation::Labels { missing: labels(&["b"]), extra: Vec::new() };
        assert_eq!(Deviation::of("ci-1", &labels(&["gpu", "b"]), &there), Some(missing));
    }

    #[test]
    fn a_fingerprint_is_of_the_deviation_and_not_of_its_order() {
        let of = |missing: &[&str], extra: &[&str]| {
            Deviation::Labels { missing: labels(missing), extra: labels(extra) }.fingerprint()
        };
        assert_eq!(of(&["A", "b"], &[]), of(&["B", "a"], &[]));
        assert_ne!(of(&["a"], &[]), of(&[], &["a"]));
        assert_eq!(of(&["a"], &[]).len(), 64);
    }

    #[test]
    fn the_busy_are_spared_unless_the_operator_says_otherwise() {
        let usual = DriftRules::default();
        assert_eq!(usual.remedy(DriftResponse::Delete, false), Remedy::Delete);
        assert_eq!(usual.remedy(DriftResponse::Delete, true), Remedy::Spare);
        assert_eq!(usual.remedy(DriftResponse::Repair, true), Remedy::Spare);
        assert_eq!(usual.remedy(DriftResponse::Observe, false), Remedy::Record);
        let hard = DriftRules { delete_busy: true, ..usual };
        assert_eq!(hard.remedy(DriftResponse::Delete, true), Remedy::Delete);
        assert_eq!(hard.remedy(DriftResponse::Repair, true), Remedy::Spare);
        let soft = DriftRules { enforce: false, delete_busy: true };
        assert_eq!(soft.remedy(DriftResponse::Delete, true), Remedy::Record);
    }
}
