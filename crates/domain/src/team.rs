//! Teams and what is decided about a provision request.

use chrono::{DateTime, Utc};

use crate::{
    InstallationId, LabelPolicy, Problem, ProblemCode, RequestedName, RunnerVersion, TeamId,
    lane::string_enum,
};

string_enum! {
    /// What happens to an idle runner whose labels were changed on GitHub.
    DriftResponse {
        /// Record it.
        Observe = "observe",
        /// Set the labels back.
        Repair = "repair",
        /// Delete the runner.
        Delete = "delete",
    }
}

/// One team as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Its name, unique without case.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    /// Labels every runner of the team gets.
    pub required_labels: Vec<String>,
    /// What further labels may be.
    pub optional_label_patterns: Vec<String>,
    /// Every runner gets the label `self-hosted`.
    pub add_self_hosted: bool,
    /// Labels that other teams of the installation require; empty where the team is only shown.
    pub required_by_others: Vec<String>,
    /// Runner groups it may use; none means only the default group.
    pub allowed_runner_group_ids: Vec<i64>,
    /// Repositories whose jobs may run on its runners, as globs of `owner/name`; none means all.
    pub allowed_repositories: Vec<String>,
    /// Workflows whose jobs may run on its runners, as globs of their names; none means all.
    pub allowed_workflows: Vec<String>,
    /// Most runners at a time, those asked for included; none is unlimited.
    pub max_runners: Option<i32>,
    /// Its weight in the fair queue.
    pub weight: f64,
    /// What happens on label drift.
    pub drift_response: DriftResponse,
    /// Whose GitHub budget it uses.
    pub installation: InstallationId,
    /// May do anything at all.
    pub is_active: bool,
    /// Why not.
    pub deactivation_reason: Option<String>,
    /// Added.
    pub created_at: DateTime<Utc>,
    /// Last changed.
    pub updated_at: DateTime<Utc>,
    /// How many people belong to it.
    pub member_count: i64,
    /// How many of its runners are not deleted.
    pub active_runner_count: i64,
}

/// What a caller asks for, with every value within its bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvisionRequest {
    /// How the runner is to be called.
    pub name: RequestedName,
    /// Labels wanted.
    pub labels: Vec<String>,
    /// Runner group wanted; none means the default one.
    pub runner_group_id: Option<i64>,
    /// Work folder on the runner's machine.
    pub work_folder: String,
    /// The runner software that will be started, if stated.
    pub runner_version: Option<RunnerVersion>,
}

/// What the policy made of a request: only [`Team::admit`] makes one, so holding it is the permission.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    labels: Vec<String>,
    runner_group_id: i64,
}

impl Admission {
    /// Labels the runner gets.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Runner group it goes to.
    pub const fn runner_group_id(&self) -> i64 {
        self.runner_group_id
    }
}

impl Team {
    /// What the team may ask for, compiled.
    pub fn label_policy(&self) -> LabelPolicy {
        LabelPolicy::new(&self.required_labels, &self.optional_label_patterns)
            .with_self_hosted(self.add_self_hosted)
            .without(&self.required_by_others)
    }

    /// Decides about a request. `in_use` counts the team's runners that are not deleted, locked against change;
    /// `default_group` is the group for requests that name none.
    ///
    /// # Errors
    /// `team_inactive`, `label_policy_violation`, `runner_group_not_allowed` or `quota_exceeded`, in this order.
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

    /// Decides whether one runner more is within the quota, `in_use` being counted as for [`Team::admit`].
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
