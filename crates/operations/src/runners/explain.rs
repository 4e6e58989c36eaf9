//! Explanation of the decision about a request, from the checks that a request itself meets. Nothing is written.

use domain::{
    Admission, Check, CheckKind, ListMatch, Problem, ProvisionRequest, Team, TeamId, first_refusal,
};

use super::{ProvisionRules, Registration, explained_caller::ExplainedCaller};
use crate::{Operations, Result, queueing};

/// Most admins that an explanation names.
const MAX_ADMINS: i64 = 5;

/// A request to explain.
#[derive(Debug)]
pub struct Question<'q> {
    /// The caller of the request; `None` explains the policy of the named team alone.
    pub caller: Option<&'q ExplainedCaller>,
    /// Way the runner would register with GitHub.
    pub registration: Registration,
    /// Team named in the request.
    pub team: Option<TeamId>,
    /// Properties of the requested runner.
    pub request: &'q ProvisionRequest,
    /// Repository `owner/name` of a workflow job that would run on the runner.
    pub repository: Option<&'q str>,
    /// Workflow of this job.
    pub workflow: Option<&'q str>,
}

/// Decision about a request, with every check.
#[derive(Debug)]
pub struct Explanation {
    /// The checks, in the order in which they refuse.
    pub checks: Vec<Check>,
    /// The team, if the caller belongs to it.
    pub team: Option<Team>,
    /// Labels and runner group that the runner would have, if the policy admits it.
    pub admission: Option<Admission>,
    /// Whether a job of the repository may run on the team's runners.
    pub repository: Option<JobRule>,
    /// Whether a job of the workflow may run on the team's runners.
    pub workflow: Option<JobRule>,
    /// Names of active admins, who may change the policy.
    pub admins: Vec<String>,
}

/// Result of one of a team's lists about workflow jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRule {
    /// Whether the list admits the job.
    pub allowed: bool,
    /// The entry that matches; `None` if none does or the list is empty.
    pub entry: Option<String>,
}

impl From<ListMatch<'_>> for JobRule {
    fn from(found: ListMatch<'_>) -> Self {
        let entry = if let ListMatch::Entry(entry) = found { Some(entry.to_owned()) } else { None };
        Self { allowed: found.allows(), entry }
    }
}

impl Explanation {
    /// Returns the refusal that the request would get.
    pub fn refusal(&self) -> Option<Problem> {
        first_refusal(&self.checks)
    }

    fn without_team(checks: Vec<Check>) -> Self {
        Self { checks, team: None, admission: None, repository: None, workflow: None, admins: Vec::new() }
    }
}

impl Operations<'_> {
    /// Explains the decision about a request. The checks are those of [`Operations::provision`], except that the quota
    /// is counted without a lock and that the runner's name is not checked.
    ///
    /// # Errors
    /// Database errors. A refusal is a part of the explanation.
    pub async fn explain(&self, rules: &ProvisionRules<'_>, question: &Question<'_>) -> Result<Explanation> {
        let (mut checks, named) = question.check_caller(rules);
        let mut conn = self.store.conn().await?;
        let team = match named {
            Some(id) => conn.teams().policy_on(id, &question.request.labels).await?,
            None => None,
        };
        let admins = conn.permissions().admin_names(MAX_ADMINS).await?;
        let Some(team) = team else {
            if first_refusal(&checks).is_none() {
                checks.push(Check::new(CheckKind::Membership, "").refused(Some(Problem::unknown_team())));
            }
            return Ok(Explanation { admins, ..Explanation::without_team(checks) });
        };
        let in_use = conn.runners().count_live(team.id).await?;
        drop(conn);
        let policy = team.check(question.request, rules.default_group(&team.installation));
        checks.extend(policy.checks.iter().cloned());
        checks.push(team.check_quota(in_use));
        let starts_in = queueing::estimate_start(self.queue, &team, question.registration.kind()).await;
        checks.push(check_start(starts_in));
        Ok(Explanation {
            checks,
            admission: policy.admit().ok(),
            repository: question.repository.map(|name| team.match_repository(name).into()),
            workflow: question.workflow.map(|name| team.match_workflow(Some(name)).into()),
            team: Some(team),
            admins,
        })
    }
}

impl Question<'_> {
    /// Returns the checks of the caller and the team, if the caller belongs to it.
    fn check_caller(&self, rules: &ProvisionRules<'_>) -> (Vec<Check>, Option<TeamId>) {
        let Some(explained) = self.caller else { return (Vec::new(), self.team) };
        let mut checks = explained.check_standing();
        let tokens = rules.registration_tokens;
        let checked = explained.caller.check_request(self.registration.kind(), tokens, self.team);
        checks.extend(checked.checks);
        (checks, checked.team)
    }
}

fn check_start(starts_in: Result<u64, Problem>) -> Check {
    let check = Check::new(CheckKind::Backlog, "the job could start before its deadline");
    match starts_in {
        Ok(seconds) => check.of(format_args!("in about {seconds} s")),
        Err(problem) => check.refused(Some(problem)),
    }
}
