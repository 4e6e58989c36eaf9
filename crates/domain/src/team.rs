//! Teams and the admission of provision requests.

use chrono::{DateTime, Utc};

use crate::{
    InstallationId, LabelPolicy, Problem, ProblemCode, RequestedName, RunnerVersion, TeamId,
    string_enum::string_enum,
};

string_enum! {
    /// Response to changed labels of an idle runner.
    DriftResponse {
        /// Record the drift.
        Observe = "observe",
        /// Restore the labels.
        Repair = "repair",
        /// Delete the runner.
        Delete = "delete",
    }
}

/// One stored team.
#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    /// Id of the team.
    pub id: TeamId,
    /// Name, unique ignoring case.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Labels that every runner of the team gets.
    pub required_labels: Vec<String>,
    /// Patterns of further labels that callers may request.
    pub optional_label_patterns: Vec<String>,
    /// Whether every runner gets the label `self-hosted`.
    pub add_self_hosted: bool,
    /// Labels that other teams of the installation require; empty if the team is only displayed.
    pub required_by_others: Vec<String>,
    /// Runner groups the team may use; empty means only the default group.
    pub allowed_runner_group_ids: Vec<i64>,
    /// Repositories whose jobs may run on the team's runners, as globs of `owner/name`; empty means all.
    pub allowed_repositories: Vec<String>,
    /// Workflows whose jobs may run on the team's runners, as globs of their names; empty means all.
    pub allowed_workflows: Vec<String>,
    /// Maximum number of runners, requested ones included; `None` means unlimited.
    pub max_runners: Option<i32>,
    /// Weight in the fair queue.
    pub weight: f64,
    /// Response to label drift.
    pub drift_response: DriftResponse,
    /// Installation whose GitHub budget the team uses.
    pub installation: InstallationId,
    /// Whether the team is active; an inactive team gets no runners.
    pub is_active: bool,
    /// Reason for the deactivation.
    pub deactivation_reason: Option<String>,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
    /// Number of members.
    pub member_count: i64,
    /// Number of runners that are not deleted.
    pub active_runner_count: i64,
}

/// A validated provision request.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvisionRequest {
    /// Requested runner name.
    pub name: RequestedName,
    /// Requested labels.
    pub labels: Vec<String>,
    /// Requested runner group; `None` means the default group.
    pub runner_group_id: Option<i64>,
    /// Work folder on the runner's machine.
    pub work_folder: String,
    /// Version of the runner software, if the caller stated it.
    pub runner_version: Option<RunnerVersion>,
}

/// Proof that the policy admits a request. Only [`Team::admit`] creates one.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    labels: Vec<String>,
    runner_group_id: i64,
}

impl Admission {
    /// Returns the labels of the runner.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Returns the runner group.
    pub const fn runner_group_id(&self) -> i64 {
        self.runner_group_id
    }
}

impl Team {
    /// Returns the team's compiled label policy.
    pub fn label_policy(&self) -> LabelPolicy {
        LabelPolicy::new(&self.required_labels, &self.optional_label_patterns)
            .with_self_hosted(self.add_self_hosted)
            .without(&self.required_by_others)
    }

    /// Decides about a request. `in_use` is the number of the team's runners that are not deleted, locked against
    /// change. `default_group` applies to requests that name no group.
    ///
    /// # Errors
    /// `team_inactive`, `label_policy_violation`, `runner_group_not_allowed` or `quota_exceeded`; the first that
    /// applies, in this order.
    pub fn admit(
        &self,
        request: &ProvisionRequest,
        in_use: i64,
        default_group: i64,
    ) -> Result<Admission, Problem> {
        if !self.is_active {
            return Err(Problem::team_inactive(self.deactivation_reason.as_deref()));
        }
        let policy = self.label_policy();
        let labels = policy.admit(&request.labels)?;
        let runner_group_id = request.runner_group_id.unwrap_or(default_group);
        let allowed = if self.allowed_runner_group_ids.is_empty() {
            runner_group_id == default_group
        } else {
            self.allowed_runner_group_ids.contains(&runner_group_id)
        };
        if !allowed {
            return Err(Problem::new(
                ProblemCode::RunnerGroupNotAllowed,
                format!("The team may not use runner group {runner_group_id}."),
            ));
        }
        self.check_quota(in_use)?;
        Ok(Admission { labels, runner_group_id })
    }

    /// Checks that one more runner is within the quota. `in_use` is the number of the team's runners that are not
    /// deleted.
    ///
    /// # Errors
    /// `quota_exceeded`.
    pub fn check_quota(&self, in_use: i64) -> Result<(), Problem> {
        match self.max_runners {
            Some(most) if in_use >= i64::from(most) => Err(Problem::new(
                ProblemCode::QuotaExceeded,
                format!("The team has {in_use} of {most} runners; delete one or wait until one is done."),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team() -> Team {
        Team {
            id: TeamId::new(),
            name: "t".into(),
            description: None,
            required_labels: vec!["t".into()],
            optional_label_patterns: vec!["gpu".into()],
            add_self_hosted: true,
            required_by_others: vec![],
            allowed_runner_group_ids: vec![],
            allowed_repositories: vec![],
            allowed_workflows: vec![],
            max_runners: Some(2),
            weight: 1.0,
            drift_response: DriftResponse::Delete,
            installation: InstallationId::default(),
            is_active: true,
            deactivation_reason: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            member_count: 0,
            active_runner_count: 0,
        }
    }

    fn request(group: Option<i64>) -> ProvisionRequest {
        ProvisionRequest {
            name: RequestedName::Prefix("ci".into()),
            labels: vec!["gpu".into()],
            runner_group_id: group,
            work_folder: "_work".into(),
            runner_version: None,
        }
    }

    #[test]
    fn without_a_list_only_the_default_group_is_allowed() {
        assert_eq!(team().admit(&request(None), 0, 1).unwrap().runner_group_id(), 1);
        assert_eq!(
            team().admit(&request(Some(2)), 0, 1).unwrap_err().code,
            ProblemCode::RunnerGroupNotAllowed
        );
        let listed = Team { allowed_runner_group_ids: vec![2], ..team() };
        assert!(listed.admit(&request(Some(2)), 0, 1).is_ok());
        assert!(listed.admit(&request(None), 0, 1).is_err());
    }

    #[test]
    fn the_last_place_is_given_and_no_more() {
        assert!(team().admit(&request(None), 1, 1).is_ok());
        assert_eq!(team().admit(&request(None), 2, 1).unwrap_err().code, ProblemCode::QuotaExceeded);
        assert!(Team { max_runners: None, ..team() }.admit(&request(None), 1_000_000, 1).is_ok());
    }

    #[test]
    fn an_inactive_team_says_why() {
        let off = Team { is_active: false, deactivation_reason: Some("moved".into()), ..team() };
        assert!(off.admit(&request(None), 0, 1).unwrap_err().detail.contains("moved"));
    }
}
