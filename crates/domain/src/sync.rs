//! What is concluded from what GitHub says of our runners. Do no harm: what was merely not seen is looked at again,
//! never taken for gone.

use std::{collections::HashSet, fmt::Write as _};

use aws_lc_rs::digest;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{DriftResponse, RunnerId, RunnerStatus, fold_label, is_system_label, lane::string_enum};

mod comparison;

pub use comparison::{
    Absence, BLAST_RADIUS_MIN, BLAST_RADIUS_PERCENT, LiveRunner, MISSES_BEFORE_CHECK, MISSES_OF_ANY_KIND,
    Suspect, SyncFindings, SyncPass,
};

string_enum! {
    /// By whom a change of a runner's status was noticed or made.
    Source {
        /// A pass over the whole fleet, or what it sent.
        Sync = "sync",
        /// A webhook.
        Webhook = "webhook",
        /// A look at this one runner that somebody asked for.
        Refresh = "refresh",
        /// A request.
        Api = "api",
        /// A job that makes or removes runners.
        Job = "job",
    }
}

/// How long after its registration GitHub may still not know a runner that never came online.
pub const REGISTRATION_GRACE: TimeDelta = TimeDelta::seconds(60);
/// How long an admin's word lets a pass send after more.
pub const REMOVAL_APPROVAL_TTL: TimeDelta = TimeDelta::minutes(15);

/// What somebody saw of one runner on GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It is there.
    There {
        /// GitHub calls it online.
        online: bool,
        /// It runs a workflow job.
        busy: bool,
    },
    /// GitHub says that it is not there, on proof.
    Gone,
}

/// Where an observation leads. None: it stays where it is.
///
/// A `pending` runner that GitHub lists as offline has never been online: it stays `pending`. A `requested` one belongs
/// to its job alone.
pub const fn transition(from: RunnerStatus, seen: Observation) -> Option<RunnerStatus> {
    use RunnerStatus::{Active, Deleted, Offline, Pending, Requested};
    match (from, seen) {
        (Pending | Active | Offline, Observation::Gone) => Some(Deleted),
        // It cannot be busy without having been online, so a pending one was, between two looks.
        (Pending, Observation::There { online: true, .. } | Observation::There { busy: true, .. })
        | (Offline, Observation::There { online: true, .. }) => Some(Active),
        (Active, Observation::There { online: false, .. }) => Some(Offline),
        (Requested | Deleted | Pending | Active | Offline, _) => None,
    }
}

/// A label as GitHub tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenLabel {
    /// Its text.
    pub name: String,
    /// GitHub put it there.
    pub read_only: bool,
    /// GitHub says that somebody else did. It need not say either.
    pub custom: bool,
}

/// A runner as GitHub tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRunner {
    /// GitHub's id.
    pub github_id: i64,
    /// Its name.
    pub name: String,
    /// GitHub calls it online.
    pub online: bool,
    /// It runs a workflow job.
    pub busy: bool,
    /// Its group, if GitHub tells.
    pub runner_group_id: Option<i64>,
    /// Its labels.
    pub labels: Vec<SeenLabel>,
}

impl SeenRunner {
    /// What of it decides about its status.
    pub const fn observation(&self) -> Observation {
        Observation::There { online: self.online, busy: self.busy }
    }
}

/// In what a runner on GitHub is not what it was made to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "deviation", rename_all = "snake_case")]
pub enum Deviation {
    /// GitHub's id belongs to another name: nothing about it is ours to touch.
    Name {
        /// The name GitHub tells.
        found: String,
    },
    /// Its labels were changed.
    Labels {
        /// Ours that are not there.
        missing: Vec<String>,
        /// Those there that are not ours, in lower case.
        extra: Vec<String>,
    },
}

impl Deviation {
    /// The first deviation of what is `seen` from the `name` and `labels` it was made with. Labels compare as
    /// [`fold_label`] writes them; what GitHub itself gave, or does not call anybody's, is none of anybody's doing.
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

    /// The same for the same deviation, so that each is told once: 64 hexadecimal characters.
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

/// What the operator allows on drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftRules {
    /// Drift is acted upon, not only recorded.
    pub enforce: bool,
    /// Also on runners that run a workflow job.
    pub delete_busy: bool,
}

impl Default for DriftRules {
    fn default() -> Self {
        Self { enforce: true, delete_busy: false }
    }
}

/// What is done about changed labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It is recorded.
    Record,
    /// It is recorded: the runner runs a workflow job.
    Spare,
    /// The labels are set back.
    Repair,
    /// The runner is deleted.
    Delete,
}

impl DriftRules {
    /// What a team's response comes to for one runner.
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

/// A change of one row, made only if the row still stands where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// Which.
    pub runner: RunnerId,
    /// From where; none: from anywhere but `deleted`.
    pub from: Option<RunnerStatus>,
    /// To where; the same as `from` when only `busy` changes.
    pub to: RunnerStatus,
    /// Runs a workflow job.
    pub busy: bool,
    /// Why, for the trail.
    pub detail: Option<String>,
}

impl StatusChange {
    /// To `deleted` from wherever it is.
    pub fn deleted(runner: RunnerId, detail: impl Into<String>) -> Self {
        Self { runner, from: None, to: RunnerStatus::Deleted, busy: false, detail: Some(detail.into()) }
    }

    /// What an observation changes; none: nothing.
    pub fn observed(
        runner: RunnerId,
        (from, was_busy): (RunnerStatus, bool),
        seen: Observation,
    ) -> Option<Self> {
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
        let untold = |name: &str| SeenLabel { name: name.into(), read_only: false, custom: false };
        let names = ["GPU", "self-hosted", "Linux", "X64", "RISCV64"];
        let there = SeenRunner { labels: names.map(untold).to_vec(), ..seen(&[]) };
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
