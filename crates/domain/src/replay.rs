//! Replay of past requests against the draft of a policy.

use std::collections::HashSet;

use crate::{
    CheckKind, Problem, ProblemCode, ProvisionRequest, RequestedName, Team, first_refusal, fold_label,
    label::SELF_HOSTED,
};

/// A past request for a runner, as the audit log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastRequest {
    /// Code of the refusal; `None` if the request was accepted.
    pub code: Option<String>,
    /// Labels of the runner, or the refused labels.
    pub labels: Vec<String>,
    /// Whether the audit log has only a part of the labels.
    pub labels_are_cut: bool,
    /// Runner group: of the runner, or as requested.
    pub runner_group_id: Option<i64>,
}

/// Decision of a draft about a past request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The draft decides as the policy did.
    Same,
    /// The draft refuses an accepted request.
    Refused(Problem),
    /// The draft allows what was refused.
    Allowed,
    /// The audit log does not have enough to decide.
    Unclear,
}

impl Team {
    /// Decides about a past request with this draft. `policy` is the team's current policy: its required labels were
    /// added to the runner, so they are not counted as requested. Quotas and permissions are not replayed.
    pub fn replay(&self, policy: &Self, past: &PastRequest, default_group: i64) -> Replayed {
        match past.code.as_deref() {
            None => self.replay_accepted(policy, past, default_group),
            Some(code) if code == ProblemCode::LabelPolicyViolation.as_str() => {
                let allowed = self.label_policy();
                if past.labels.iter().any(|label| !allowed.allows(label)) {
                    Replayed::Same
                } else if past.labels_are_cut || past.labels.is_empty() {
                    Replayed::Unclear
                } else {
                    self.replay_group(past, default_group)
                }
            }
            Some(code) if code == ProblemCode::RunnerGroupNotAllowed.as_str() => {
                self.replay_group(past, default_group)
            }
            Some(_) => Replayed::Same,
        }
    }

    fn replay_accepted(&self, policy: &Self, past: &PastRequest, default_group: i64) -> Replayed {
        let mut added: HashSet<String> =
            policy.required_labels.iter().map(|label| fold_label(label)).collect();
        if policy.add_self_hosted {
            added.insert(SELF_HOSTED.to_owned());
        }
        let wanted = past.labels.iter().filter(|label| !added.contains(&fold_label(label)));
        let request = request(wanted.cloned().collect(), past.runner_group_id);
        let mut checks = self.check(&request, Ok(default_group)).checks;
        checks.retain(|check| check.kind != CheckKind::Team);
        first_refusal(&checks).map_or(Replayed::Same, Replayed::Refused)
    }

    /// Decides about the runner group of a refused request.
    fn replay_group(&self, past: &PastRequest, default_group: i64) -> Replayed {
        let request = request(Vec::new(), past.runner_group_id);
        let checks = self.check(&request, Ok(default_group)).checks;
        let refused = |kind| checks.iter().any(|check| check.kind == kind && !check.passed());
        if refused(CheckKind::RunnerGroup) { Replayed::Same } else { Replayed::Allowed }
    }
}

fn request(labels: Vec<String>, runner_group_id: Option<i64>) -> ProvisionRequest {
    ProvisionRequest {
        name: RequestedName::Prefix("replayed".to_owned()),
        labels,
        runner_group_id,
        work_folder: "_work".to_owned(),
        runner_version: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DriftResponse, InstallationId, TeamId};

    fn team(required: &[&str], patterns: &[&str], groups: &[i64]) -> Team {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Team {
            id: TeamId::new(),
            name: "t".into(),
            description: None,
            required_labels: texts(required),
            optional_label_patterns: texts(patterns),
            add_self_hosted: true,
            required_by_others: vec![],
            allowed_runner_group_ids: groups.to_vec(),
            allowed_repositories: vec![],
            allowed_workflows: vec![],
            max_runners: None,
            weight: 1.0,
            drift_response: DriftResponse::Observe,
            installation: InstallationId::default(),
            is_active: true,
            deactivation_reason: None,
            created_at: chrono::DateTime::UNIX_EPOCH,
            updated_at: chrono::DateTime::UNIX_EPOCH,
            member_count: 0,
            active_runner_count: 0,
        }
    }

    fn past(code: Option<ProblemCode>, labels: &[&str], group: Option<i64>) -> PastRequest {
        PastRequest {
            code: code.map(|code| code.as_str().to_owned()),
            labels: labels.iter().map(ToString::to_string).collect(),
            labels_are_cut: false,
            runner_group_id: group,
        }
    }

    #[test]
    fn narrower_draft_refuses_what_was_accepted() {
        let (policy, draft) = (team(&["web"], &["*"], &[]), team(&["web", "new"], &["glob:gpu-*"], &[2]));
        let replay = |labels: &[&str], group| draft.replay(&policy, &past(None, labels, Some(group)), 1);
        assert_eq!(replay(&["web", "gpu-1", "self-hosted"], 2), Replayed::Same);
        let Replayed::Refused(problem) = replay(&["web", "cpu-1", "self-hosted"], 2) else { panic!() };
        assert_eq!(problem.code, ProblemCode::LabelPolicyViolation);
        let Replayed::Refused(problem) = replay(&["web"], 1) else { panic!() };
        assert_eq!(problem.code, ProblemCode::RunnerGroupNotAllowed);
    }

    #[test]
    fn wider_draft_allows_what_was_refused() {
        let (policy, draft) = (team(&[], &[], &[]), team(&[], &["glob:gpu-*"], &[1, 2]));
        let replay = |past: &PastRequest| draft.replay(&policy, past, 1);
        let labels = ProblemCode::LabelPolicyViolation;
        assert_eq!(replay(&past(Some(labels), &["gpu-1"], None)), Replayed::Allowed);
        assert_eq!(replay(&past(Some(labels), &["gpu-1", "cpu-1"], None)), Replayed::Same);
        assert_eq!(replay(&past(Some(labels), &["gpu-1"], Some(3))), Replayed::Same);
        let cut = PastRequest { labels_are_cut: true, ..past(Some(labels), &["gpu-1"], None) };
        assert_eq!(replay(&cut), Replayed::Unclear);
        let group = ProblemCode::RunnerGroupNotAllowed;
        assert_eq!(replay(&past(Some(group), &[], Some(2))), Replayed::Allowed);
        assert_eq!(replay(&past(Some(ProblemCode::QuotaExceeded), &[], None)), Replayed::Same);
    }
}
