//! Drift: differences between a runner on GitHub and its request, and the permitted responses.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::SeenRunner;
use crate::{DriftResponse, fold_label, is_system_label, sha256_hex};

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
        sha256_hex(text.as_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SeenLabel,
        sync::tests::{labels, seen},
    };

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
    fn label_without_type_is_no_drift() {
        let untyped = |name: &str| SeenLabel { name: name.into(), read_only: false, custom: false };
        let names = ["GPU", "self-hosted", "Linux", "X64", "RISCV64"];
        let there = SeenRunner { labels: names.map(untyped).to_vec(), ..seen(&[]) };
        assert_eq!(Deviation::of("ci-1", &labels(&["gpu"]), &there), None);
        let missing = Deviation::Labels { missing: labels(&["b"]), extra: Vec::new() };
        assert_eq!(Deviation::of("ci-1", &labels(&["gpu", "b"]), &there), Some(missing));
    }

    #[test]
    fn fingerprint_is_independent_of_label_order() {
        let of = |missing: &[&str], extra: &[&str]| {
            Deviation::Labels { missing: labels(missing), extra: labels(extra) }.fingerprint()
        };
        assert_eq!(of(&["A", "b"], &[]), of(&["B", "a"], &[]));
        assert_ne!(of(&["a"], &[]), of(&[], &["a"]));
        assert_eq!(of(&["a"], &[]).len(), 64);
    }

    #[test]
    fn busy_runners_are_spared_unless_configured_otherwise() {
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
