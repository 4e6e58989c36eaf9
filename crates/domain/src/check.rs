//! Checks of a request for a runner. A request is decided by its first refused check, and an explanation shows all of
//! them.

use std::{borrow::Cow, fmt::Display};

use crate::{Problem, string_enum::string_enum};

string_enum! {
    /// Subject of a check.
    CheckKind {
        /// Whether the user or machine client is active.
        Requester = "requester",
        /// Whether the role allows changes.
        Role = "role",
        /// Whether the caller may use this way of registration.
        Registration = "registration",
        /// Whether the caller belongs to the team.
        Membership = "membership",
        /// Whether the team's installation is configured.
        Installation = "installation",
        /// Whether the team is active.
        Team = "team",
        /// Whether a runner of the team may have the label.
        Label = "label",
        /// Whether the number of labels is within its bounds.
        LabelCount = "label_count",
        /// Whether the team may use the runner group.
        RunnerGroup = "runner_group",
        /// Whether the team may have one more runner.
        Quota = "quota",
        /// Whether the job could start before its deadline.
        Backlog = "backlog",
    }
}

/// One check of a request and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Subject of the check.
    pub kind: CheckKind,
    /// The checked value, such as a label or a runner group.
    pub value: Option<String>,
    /// The label pattern that decided.
    pub rule: Option<String>,
    /// The reason, as a sentence without its subject.
    pub detail: Cow<'static, str>,
    /// The refusal; `None` if the check passed.
    pub refusal: Option<Problem>,
}

impl Check {
    /// Returns a passed check.
    pub fn new(kind: CheckKind, detail: &'static str) -> Self {
        Self { kind, value: None, rule: None, detail: Cow::Borrowed(detail), refusal: None }
    }

    /// Returns the check with the checked value.
    #[must_use]
    pub fn of(self, value: impl Display) -> Self {
        Self { value: Some(value.to_string()), ..self }
    }

    /// Returns the check with the rule that decided.
    #[must_use]
    pub fn by(self, rule: Option<&str>) -> Self {
        Self { rule: rule.map(str::to_owned), ..self }
    }

    /// Returns the check as refused, if there is a refusal. The refusal's reason replaces the detail.
    #[must_use]
    pub fn refused(self, refusal: Option<Problem>) -> Self {
        let Some(problem) = refusal else { return self };
        let reason = problem.errors.first().map_or(&problem.detail, |error| &error.detail);
        Self { detail: Cow::Owned(reason.clone()), refusal: Some(problem), ..self }
    }

    /// Returns whether the check passed.
    pub const fn passed(&self) -> bool {
        self.refusal.is_none()
    }

    /// Returns the refusal as an error.
    ///
    /// # Errors
    /// The refusal, if the check failed.
    pub fn pass(self) -> Result<(), Problem> {
        self.refusal.map_or(Ok(()), Err)
    }
}

/// Returns the refusal of the first check that failed, with the invalid values of all failed checks of its kind.
pub fn first_refusal(checks: &[Check]) -> Option<Problem> {
    let failed = |check: &&Check| check.refusal.is_some();
    let first = checks.iter().find(failed)?;
    let alike = checks.iter().filter(|check| check.kind == first.kind);
    let errors = alike.filter_map(|check| check.refusal.as_ref()).flat_map(|refusal| refusal.errors.clone());
    first.refusal.clone().map(|problem| problem.with_errors(errors.collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        DriftResponse, FieldError, InstallationId, ProblemCode, ProvisionRequest, RequestedName, Team, TeamId,
    };

    const WORDS: &[&str] =
        &["red", "RED", "blue", "linux", "ubuntu-latest", "gpu-1", "gpu-2", "cpu", "1inux"];
    const PATTERNS: &[&str] = &["*", "glob:gpu-*", "cpu|gpu-2", "glob:re?", "not ( a pattern"];

    fn some_of(words: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(prop::sample::select(words).prop_map(str::to_owned), 0..=most)
    }

    prop_compose! {
        fn any_team()(
            required_labels in some_of(WORDS, 2),
            optional_label_patterns in some_of(PATTERNS, 3),
            required_by_others in some_of(WORDS, 2),
            allowed_runner_group_ids in prop::collection::vec(1_i64..4, 0..3),
            max_runners in prop::option::of(0_i32..4),
            is_active in prop::bool::weighted(0.9),
            add_self_hosted in any::<bool>(),
        ) -> Team {
            Team {
                id: TeamId::new(),
                name: "red".into(),
                description: None,
                required_labels,
                optional_label_patterns,
                add_self_hosted,
                required_by_others,
                allowed_runner_group_ids,
                allowed_repositories: Vec::new(),
                allowed_workflows: Vec::new(),
                max_runners,
                weight: 1.0,
                drift_response: DriftResponse::Observe,
                installation: InstallationId::default(),
                is_active,
                deactivation_reason: None,
                created_at: chrono::DateTime::UNIX_EPOCH,
                updated_at: chrono::DateTime::UNIX_EPOCH,
                member_count: 0,
                active_runner_count: 0,
            }
        }
    }

    prop_compose! {
        fn any_request()(labels in some_of(WORDS, 4), group in prop::option::of(1_i64..4)) -> ProvisionRequest {
            ProvisionRequest {
                name: RequestedName::Prefix("ci".into()),
                labels,
                runner_group_id: group,
                work_folder: "_work".into(),
                runner_version: None,
            }
        }
    }

    /// States the rule about one label a second time, for this test's words and patterns.
    fn may_have(team: &Team, label: &str) -> bool {
        let same = |other: &String| other.eq_ignore_ascii_case(label);
        let matches = |pattern: &str| match pattern {
            "*" => true,
            "glob:gpu-*" => label.starts_with("gpu-"),
            "cpu|gpu-2" => label == "cpu" || label == "gpu-2",
            "glob:re?" => label.eq_ignore_ascii_case("red"),
            _ => false,
        };
        team.required_labels.iter().any(same)
            || label == "linux"
            || (!["ubuntu-latest", "1inux"].contains(&label)
                && !team.required_by_others.iter().any(same)
                && team.optional_label_patterns.iter().any(|pattern| matches(pattern)))
    }

    /// States the decision a second time.
    fn expected_code(team: &Team, request: &ProvisionRequest, in_use: i64) -> Option<ProblemCode> {
        let group = request.runner_group_id.unwrap_or(1);
        let groups = &team.allowed_runner_group_ids;
        if !team.is_active {
            Some(ProblemCode::TeamInactive)
        } else if request.labels.iter().any(|label| !may_have(team, label)) {
            Some(ProblemCode::LabelPolicyViolation)
        } else if request.labels.is_empty() && team.required_labels.is_empty() && !team.add_self_hosted {
            Some(ProblemCode::ValidationFailed)
        } else if (groups.is_empty() && group != 1) || (!groups.is_empty() && !groups.contains(&group)) {
            Some(ProblemCode::RunnerGroupNotAllowed)
        } else if team.max_runners.is_some_and(|most| in_use >= i64::from(most)) {
            Some(ProblemCode::QuotaExceeded)
        } else {
            None
        }
    }

    proptest! {
        #[test]
        fn checks_decide_as_the_admission_does(team in any_team(), request in any_request(), in_use in 0_i64..4) {
            let mut checks = team.check(&request, Ok(1)).checks;
            checks.push(team.check_quota(in_use));
            let admitted = team.admit(&request, in_use, 1);
            prop_assert_eq!(first_refusal(&checks), admitted.as_ref().err().cloned());
            prop_assert_eq!(admitted.err().map(|problem| problem.code), expected_code(&team, &request, in_use));
            for check in checks.iter().filter(|check| check.kind == CheckKind::Label) {
                let label = check.value.as_deref().unwrap_or_default();
                prop_assert_eq!(check.passed(), may_have(&team, label), "{}", label);
            }
        }
    }

    #[test]
    fn failed_checks_of_one_kind_are_one_refusal() {
        let refused = |kind, code, pointer: &str| {
            let errors = vec![FieldError::new(pointer, "why")];
            Check::new(kind, "fine").refused(Some(Problem::new(code, "no").with_errors(errors)))
        };
        let checks = [
            Check::new(CheckKind::Team, "fine"),
            refused(CheckKind::Label, ProblemCode::LabelPolicyViolation, "/labels/0"),
            refused(CheckKind::Label, ProblemCode::LabelPolicyViolation, "/labels/2"),
            refused(CheckKind::Quota, ProblemCode::QuotaExceeded, "/quota"),
        ];
        let problem = first_refusal(&checks).unwrap();
        let pointers: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(
            (problem.code, pointers),
            (ProblemCode::LabelPolicyViolation, vec!["/labels/0", "/labels/2"])
        );
        assert_eq!(checks[1].detail, "why");
        assert_eq!(first_refusal(&checks[..1]), None);
    }
}
