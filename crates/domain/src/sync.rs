//! Conclusions from GitHub's reports about runners: status transitions, drift, and the comparison of a sync run.
//!
//! A runner that a list merely omitted is checked again; it is never taken for deleted.

use chrono::TimeDelta;

mod comparison;
mod drift;
mod observation;

pub use comparison::{
    Absence, BLAST_RADIUS_MIN, BLAST_RADIUS_PERCENT, LiveRunner, MISSES_BEFORE_CHECK, MISSES_OF_ANY_KIND,
    Suspect, SyncFindings, SyncPass,
};
pub use drift::{Deviation, DriftRules, Remedy};
pub use observation::{Observation, SeenLabel, SeenRunner, Source, StatusChange, transition};

/// Time after registration in which GitHub may not yet know a runner that was never online.
pub const REGISTRATION_GRACE: TimeDelta = TimeDelta::seconds(60);
/// Time for which an admin's approval of removals is valid.
pub const REMOVAL_APPROVAL_TTL: TimeDelta = TimeDelta::minutes(15);

#[cfg(test)]
mod tests {
    use super::{SeenLabel, SeenRunner};

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
}
