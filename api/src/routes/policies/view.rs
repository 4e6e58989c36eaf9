//! View of an explained decision.

use domain::{Check, CheckKind, Problem, Team};
use operations::{Explanation, JobRule};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::openapi;

/// Decision about a request, with every check.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(crate) struct ExplanationView {
    /// Whether the request would be accepted.
    pub(crate) allowed: bool,
    /// Problem code of the refusal.
    #[schema(value_type = Option<String>)]
    pub(crate) code: Option<&'static str>,
    /// Reason of the refusal.
    pub(crate) detail: Option<String>,
    /// The team, if the caller belongs to it.
    pub(crate) team: Option<ExplainedTeam>,
    /// Checks, in the order in which they refuse.
    pub(crate) checks: Vec<CheckView>,
    /// Labels that the runner would have, if the policy admits it.
    pub(crate) labels: Option<Vec<String>>,
    /// Runner group that the runner would have, if the policy admits it.
    pub(crate) runner_group_id: Option<i64>,
    /// Whether a job of the given repository may run on the team's runners.
    pub(crate) repository: Option<JobRuleView>,
    /// Whether a job of the given workflow may run on the team's runners.
    pub(crate) workflow: Option<JobRuleView>,
    /// Up to five active admins, who may change the policy. Empty for machine clients.
    pub(crate) admins: Vec<String>,
}

/// Team of an explained request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainedTeam {
    /// Id of the team.
    pub(crate) id: Uuid,
    /// Name of the team.
    pub(crate) name: String,
    /// Patterns of the labels that the team may use.
    pub(crate) optional_label_patterns: Vec<String>,
}

/// One check of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckView {
    /// Subject of the check.
    #[schema(schema_with = openapi::check_kind)]
    pub(crate) check: CheckKind,
    /// Whether the check passed.
    pub(crate) allowed: bool,
    /// The checked value, such as a label.
    pub(crate) value: Option<String>,
    /// The label pattern that matches.
    pub(crate) rule: Option<String>,
    /// Reason of the result.
    pub(crate) detail: String,
    /// Problem code, if the check failed.
    #[schema(value_type = Option<String>)]
    pub(crate) code: Option<&'static str>,
}

/// Result of one of the team's lists about workflow jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobRuleView {
    /// Whether the list admits the job.
    pub(crate) allowed: bool,
    /// The entry that matches; null if none does or the list is empty.
    pub(crate) rule: Option<String>,
}

impl ExplanationView {
    /// Returns the view without the names of admins.
    pub(super) fn without_admins(self) -> Self {
        Self { admins: Vec::new(), ..self }
    }
}

impl From<Explanation> for ExplanationView {
    fn from(explained: Explanation) -> Self {
        let refusal = explained.refusal();
        let admission = explained.admission.as_ref();
        Self {
            allowed: refusal.is_none(),
            code: refusal.as_ref().map(code),
            detail: refusal.map(|problem| problem.detail),
            labels: admission.map(|admission| admission.labels().to_vec()),
            runner_group_id: admission.map(domain::Admission::runner_group_id),
            team: explained.team.map(ExplainedTeam::from),
            checks: explained.checks.into_iter().map(CheckView::from).collect(),
            repository: explained.repository.map(JobRuleView::from),
            workflow: explained.workflow.map(JobRuleView::from),
            admins: explained.admins,
        }
    }
}

impl From<Team> for ExplainedTeam {
    fn from(team: Team) -> Self {
        Self { id: team.id.uuid(), name: team.name, optional_label_patterns: team.optional_label_patterns }
    }
}

impl From<Check> for CheckView {
    fn from(check: Check) -> Self {
        Self {
            check: check.kind,
            allowed: check.passed(),
            value: check.value,
            rule: check.rule,
            detail: check.detail.into_owned(),
            code: check.refusal.as_ref().map(code),
        }
    }
}

impl From<JobRule> for JobRuleView {
    fn from(rule: JobRule) -> Self {
        Self { allowed: rule.allowed, rule: rule.entry }
    }
}

fn code(problem: &Problem) -> &'static str {
    problem.code.as_str()
}
