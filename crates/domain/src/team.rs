//! Teams and the admission of provision requests.

use chrono::{DateTime, Utc};

use crate::{
    Check, CheckKind, InstallationId, LabelPolicy, Problem, ProblemCode, RequestedName, RunnerVersion,
    TeamId, check::first_refusal, glob, string_enum::string_enum,
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
    /// Labels that other teams of the installation require, as far as the decision that reads the team needs them.
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

/// Proof that the policy admits a request. Only [`PolicyChecks::admit`] creates one.
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

/// Checks of one request against a team's policy, without the quota.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyChecks {
    /// The checks, in the order in which they refuse.
    pub checks: Vec<Check>,
    labels: Vec<String>,
    /// Runner group; `None` if the request names none and there is no default group.
    runner_group_id: Option<i64>,
}

impl PolicyChecks {
    /// Returns the proof that every check passed.
    ///
    /// # Errors
    /// The refusal of the first check that failed.
    pub fn admit(self) -> Result<Admission, Problem> {
        match (first_refusal(&self.checks), self.runner_group_id) {
            (Some(problem), _) => Err(problem),
            (None, Some(runner_group_id)) => Ok(Admission { labels: self.labels, runner_group_id }),
            (None, None) => Err(Problem::new(ProblemCode::GithubUnavailable, "There is no runner group.")),
        }
    }
}

/// Entry of a list that admits a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListMatch<'a> {
    /// The list is empty and admits everything.
    Unrestricted,
    /// The entry with this text matches.
    Entry(&'a str),
    /// No entry matches.
    Unmatched,
}

impl ListMatch<'_> {
    /// Returns whether the list admits the value.
    pub fn allows(self) -> bool {
        self != Self::Unmatched
    }
}

impl Team {
    /// Returns the team's compiled label policy.
    pub fn label_policy(&self) -> LabelPolicy {
        LabelPolicy::new(&self.required_labels, &self.optional_label_patterns)
            .with_self_hosted(self.add_self_hosted)
            .without(&self.required_by_others)
    }

    /// Checks a request against the policy. `default_group` is the runner group of requests that name none, or the
    /// reason why the installation has none.
    ///
    /// The checks can refuse with `team_inactive`, `label_policy_violation`, `validation_failed`,
    /// `runner_group_not_allowed` and the problem of `default_group`.
    pub fn check(&self, request: &ProvisionRequest, default_group: Result<i64, Problem>) -> PolicyChecks {
        let policy = self.label_policy();
        let known_group = default_group.as_ref().ok().copied();
        let runner_group_id = request.runner_group_id.or(known_group);
        let mut checks = vec![self.check_installation(default_group), self.check_active()];
        let (label_checks, labels) = policy.check(&request.labels);
        checks.extend(label_checks);
        if let (Some(group), Some(default_group)) = (runner_group_id, known_group) {
            checks.push(self.check_group(group, default_group));
        }
        PolicyChecks { checks, labels, runner_group_id }
    }

    fn check_installation(&self, default_group: Result<i64, Problem>) -> Check {
        Check::new(CheckKind::Installation, "the team's GitHub installation is configured")
            .of(&self.installation)
            .refused(default_group.err())
    }

    fn check_active(&self) -> Check {
        let refusal = (!self.is_active).then(|| Problem::team_inactive(self.deactivation_reason.as_deref()));
        Check::new(CheckKind::Team, "the team is active").of(&self.name).refused(refusal)
    }

    fn check_group(&self, group: i64, default_group: i64) -> Check {
        let listed = !self.allowed_runner_group_ids.is_empty();
        let allowed =
            if listed { self.allowed_runner_group_ids.contains(&group) } else { group == default_group };
        let refusal = (!allowed).then(|| {
            let detail = format!(
                "The team may not use runner group {group}. Leave `runner_group_id` out, or ask an admin to allow it."
            );
            Problem::new(ProblemCode::RunnerGroupNotAllowed, detail)
        });
        let detail =
            if listed { "one of the team's runner groups" } else { "the installation's default group" };
        Check::new(CheckKind::RunnerGroup, detail).of(group).refused(refusal)
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
        let mut checked = self.check(request, Ok(default_group));
        checked.checks.push(self.check_quota(in_use));
        checked.admit()
    }

    /// Checks that one more runner is within the quota: `quota_exceeded` if not. `in_use` is the number of the team's
    /// runners that are not deleted.
    pub fn check_quota(&self, in_use: i64) -> Check {
        let refusal = self.max_runners.filter(|most| in_use >= i64::from(*most)).map(|most| {
            let detail =
                format!(
                    "The team has {in_use} of {most} runners; delete one, wait until one is done, or ask an admin for more."
                );
            Problem::new(ProblemCode::QuotaExceeded, detail)
        });
        let check = Check::new(CheckKind::Quota, "within the team's maximum number of runners");
        match self.max_runners {
            Some(most) => check.of(format_args!("{in_use} of {most}")).refused(refusal),
            None => Check::new(CheckKind::Quota, "the team has no maximum number of runners").of(in_use),
        }
    }

    /// Returns the entry of `allowed_repositories` that admits the repository `owner/name`.
    pub fn match_repository(&self, repository: &str) -> ListMatch<'_> {
        match_list(&self.allowed_repositories, |entry| glob::repository_fits(entry, repository))
    }

    /// Returns the entry of `allowed_workflows` that admits the workflow. A list that is not empty never admits a job
    /// without a workflow name.
    pub fn match_workflow(&self, workflow: Option<&str>) -> ListMatch<'_> {
        match_list(&self.allowed_workflows, |entry| workflow.is_some_and(|name| glob::fits(entry, name)))
    }
}

fn match_list(list: &[String], matches: impl Fn(&str) -> bool) -> ListMatch<'_> {
    if list.is_empty() {
        return ListMatch::Unrestricted;
    }
    list.iter().find(|entry| matches(entry)).map_or(ListMatch::Unmatched, |entry| ListMatch::Entry(entry))
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
    fn last_place_of_the_quota_is_given_once() {
        assert!(team().admit(&request(None), 1, 1).is_ok());
        assert_eq!(team().admit(&request(None), 2, 1).unwrap_err().code, ProblemCode::QuotaExceeded);
        assert!(Team { max_runners: None, ..team() }.admit(&request(None), 1_000_000, 1).is_ok());
    }

    #[test]
    fn refusal_of_an_inactive_team_has_its_reason() {
        let off = Team { is_active: false, deactivation_reason: Some("moved".into()), ..team() };
        assert!(off.admit(&request(None), 0, 1).unwrap_err().detail.contains("moved"));
    }
}
