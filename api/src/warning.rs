//! Warnings in responses to accepted requests.

use chrono::{DateTime, Utc};
use domain::{CutOff, LabelOverlap, RunnerVersion, VersionState};
use serde::Serialize;
use utoipa::ToSchema;

/// A warning about an accepted request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Warning {
    /// `runner_version_deprecated_soon`, `runner_version_deprecated`, `pattern_admits_label_of_other_team` or
    /// `label_required_by_other_team`.
    pub(crate) code: &'static str,
    /// Explanation for people.
    pub(crate) detail: String,
}

impl Warning {
    /// Returns the warning about a label that another team requires.
    pub(crate) fn of_overlap(overlap: &LabelOverlap) -> Self {
        let (label, team) = (&overlap.label, &overlap.team);
        match &overlap.pattern {
            Some(pattern) => Self {
                code: "pattern_admits_label_of_other_team",
                detail: format!(
                    "The pattern {pattern} matches {label}, which the team {team} requires: that label stays refused here."
                ),
            },
            None => Self {
                code: "label_required_by_other_team",
                detail: format!(
                    "The team {team} requires {label} too: runners of both teams take the jobs that ask for it."
                ),
            },
        }
    }

    /// Returns the warning about a runner version, `None` if GitHub names no near end of support.
    pub(crate) fn of_version(version: &RunnerVersion, cut_off: CutOff, now: DateTime<Utc>) -> Option<Self> {
        let code = match cut_off.state(now) {
            VersionState::Unknown | VersionState::Current => return None,
            VersionState::Soon => "runner_version_deprecated_soon",
            VersionState::Deprecated => "runner_version_deprecated",
        };
        let on = |at: Option<DateTime<Utc>>| {
            at.map_or("an unknown day".to_owned(), |at| at.date_naive().to_string())
        };
        let detail = format!(
            "GitHub registers runners of version {version} until {}, and lets them run until {}; start a newer one.",
            on(cut_off.registration),
            on(cut_off.runtime)
        );
        Some(Self { code, detail })
    }
}
