//! Decisions about a runner from the events of its workflow jobs.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::WorkflowJob;
use crate::{Runner, RunnerStatus, Team, fold_label, is_system_label};

/// The newest workflow job seen on a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkflowMark {
    /// GitHub's id of the job.
    pub job: i64,
    /// Whether the job is completed.
    pub completed: bool,
    /// Time of its event, by GitHub's clock.
    pub at: DateTime<Utc>,
}

/// Reason an event changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventIgnored {
    /// A newer event of the runner is known.
    Older,
    /// The runner has no issued config yet, or it is deleted.
    NotThere,
}

/// Violation of a team's policy by a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyViolation {
    /// The job asks for labels the runner was never given; the labels were changed on GitHub.
    Labels(Vec<String>),
    /// The team's lists do not contain its repository or workflow.
    Unexpected,
}

impl PolicyViolation {
    /// Returns the type of the security event.
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::Labels(_) => "label_policy_violation_workflow",
            Self::Unexpected => "unexpected_job",
        }
    }
}

/// Changes caused by an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// New status of the runner.
    pub status: RunnerStatus,
    /// Whether the runner runs a job.
    pub busy: bool,
    /// New newest job of the runner.
    pub mark: WorkflowMark,
    /// Whether an ephemeral runner has completed its only job, so that GitHub removes it.
    pub finished: bool,
    /// Whether the runner is self-registered and has no GitHub id yet. A name alone proves nothing, so the status does
    /// not change; a sync run should follow soon.
    pub awaited: bool,
    /// Policy violations, reported once per job.
    pub violations: Vec<PolicyViolation>,
}

impl WorkflowMark {
    /// Returns whether `next` is newer. Events of one job have a fixed order. Events of two jobs are ordered by time;
    /// one job may begin in the second in which another ends.
    fn precedes(&self, next: &Self) -> bool {
        if self.job == next.job {
            return next.completed && !self.completed;
        }
        next.at > self.at || (next.at == self.at && self.completed && !next.completed)
    }
}

impl WorkflowJob {
    /// Returns the changes that this event causes for its runner. `seen` is the newest job seen on the runner,
    /// `received` the time at which the event arrived.
    ///
    /// # Errors
    /// [`EventIgnored`] if nothing changes.
    pub fn decide(
        &self,
        runner: &Runner,
        team: &Team,
        seen: Option<&WorkflowMark>,
        received: DateTime<Utc>,
    ) -> Result<Decision, EventIgnored> {
        use RunnerStatus::{Active, Deleted, Offline, Pending, Requested};
        let status = match runner.status {
            Requested | Deleted => return Err(EventIgnored::NotThere),
            Offline if self.completed => Offline,
            // The runner runs or ran a job, so it was online.
            Pending | Active | Offline => Active,
        };
        let mark = WorkflowMark { job: self.id, completed: self.completed, at: self.at.unwrap_or(received) };
        if seen.is_some_and(|seen| !seen.precedes(&mark)) {
            return Err(EventIgnored::Older);
        }
        let known = seen.is_some_and(|seen| seen.job == self.id);
        let awaited = runner.github_runner_id.is_none();
        Ok(Decision {
            status: if awaited { runner.status } else { status },
            busy: !awaited && !self.completed,
            mark,
            finished: !awaited && self.completed && runner.ephemeral,
            awaited,
            violations: if known { Vec::new() } else { self.violations(runner, team) },
        })
    }

    /// Returns the job's policy violations, independent of the runner's state.
    pub fn violations(&self, runner: &Runner, team: &Team) -> Vec<PolicyViolation> {
        // A self-registered runner may have labels beyond the requested ones, if its team's policy allows them.
        let itself = runner.github_runner_id.is_none();
        let policy = itself.then(|| team.label_policy());
        let own: HashSet<String> = runner.labels.iter().map(|label| fold_label(label)).collect();
        let given = |label: &String| {
            is_system_label(label)
                || own.contains(&fold_label(label))
                || policy.as_ref().is_some_and(|policy| policy.allows(label))
        };
        let foreign: Vec<String> = self.labels.iter().filter(|label| !given(label)).cloned().collect();
        let labels = (!foreign.is_empty()).then_some(PolicyViolation::Labels(foreign));
        labels.into_iter().chain((!self.expected(team)).then_some(PolicyViolation::Unexpected)).collect()
    }

    /// Returns whether the team's lists admit the job's repository and workflow.
    fn expected(&self, team: &Team) -> bool {
        team.match_repository(&self.repository).allows()
            && team.match_workflow(self.workflow.as_deref()).allows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, DriftResponse, InstallationId, Requester, RunnerId, TeamId};

    fn team(repositories: &[&str], workflows: &[&str]) -> Team {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Team {
            id: TeamId::new(),
            name: "t".into(),
            description: None,
            required_labels: vec![],
            optional_label_patterns: vec![],
            add_self_hosted: true,
            required_by_others: vec![],
            allowed_runner_group_ids: vec![],
            allowed_repositories: texts(repositories),
            allowed_workflows: texts(workflows),
            max_runners: None,
            weight: 1.0,
            drift_response: DriftResponse::Observe,
            installation: InstallationId::default(),
            is_active: true,
            deactivation_reason: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            member_count: 0,
            active_runner_count: 0,
        }
    }

    fn runner(status: RunnerStatus) -> Runner {
        Runner {
            id: RunnerId::new(),
            installation: InstallationId::default(),
            team: TeamId::new(),
            team_name: "t".into(),
            provisioned_by: Requester::Client(ClientId::new()),
            provisioned_by_name: None,
            name: "box".into(),
            status,
            busy: false,
            github_runner_id: Some(3),
            app_installation: None,
            runner_group_id: 1,
            runner_group_name: None,
            labels: vec!["team-t".into(), "gpu".into()],
            ephemeral: true,
            registers_itself: false,
            stated_version: None,
            version: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            registered_at: None,
            deleted_at: None,
        }
    }

    fn job(id: i64, completed: bool, at: i64) -> WorkflowJob {
        WorkflowJob {
            id,
            run_id: 9,
            completed,
            repository: "octo/web".into(),
            workflow: Some("CI".into()),
            name: None,
            labels: vec!["GPU".into(), "self-hosted".into()],
            runner_id: Some(3),
            runner_name: Some("box".into()),
            hosted: false,
            at: DateTime::from_timestamp(at, 0),
            conclusion: None,
        }
    }

    fn decide(
        job: &WorkflowJob,
        status: RunnerStatus,
        seen: Option<&WorkflowMark>,
    ) -> Result<Decision, EventIgnored> {
        job.decide(&runner(status), &team(&[], &[]), seen, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn job_makes_its_runner_busy_and_its_end_makes_it_idle() {
        let began = decide(&job(1, false, 10), RunnerStatus::Pending, None).unwrap();
        assert_eq!((began.status, began.busy, began.finished), (RunnerStatus::Active, true, false));
        let ended = decide(&job(1, true, 20), RunnerStatus::Active, Some(&began.mark)).unwrap();
        assert_eq!((ended.status, ended.busy, ended.finished), (RunnerStatus::Active, false, true));
    }

    #[test]
    fn job_with_only_a_name_changes_no_runner_and_is_checked() {
        let awaited = Runner { github_runner_id: None, ..runner(RunnerStatus::Pending) };
        let wrong = WorkflowJob { labels: vec!["prod".into()], ..job(1, false, 10) };
        for wrong in [wrong.clone(), WorkflowJob { completed: true, ..wrong }] {
            let decision = wrong.decide(&awaited, &team(&[], &[]), None, DateTime::UNIX_EPOCH).unwrap();
            assert_eq!(
                (decision.status, decision.busy, decision.finished),
                (RunnerStatus::Pending, false, false)
            );
            assert!(decision.awaited);
            assert_eq!(decision.violations.len(), 1);
            let free = Team { optional_label_patterns: vec!["prod".into()], ..team(&[], &[]) };
            let allowed = wrong.decide(&awaited, &free, None, DateTime::UNIX_EPOCH).unwrap();
            assert!(allowed.violations.is_empty(), "labels that its team allows are no violation");
        }
        assert!(!decide(&job(1, false, 10), RunnerStatus::Pending, None).unwrap().awaited);
    }

    #[test]
    fn late_start_does_not_undo_an_end() {
        let ended = decide(&job(1, true, 20), RunnerStatus::Pending, None).unwrap();
        assert_eq!(
            decide(&job(1, false, 10), RunnerStatus::Active, Some(&ended.mark)),
            Err(EventIgnored::Older)
        );
        assert_eq!(
            decide(&job(1, false, 20), RunnerStatus::Active, Some(&ended.mark)),
            Err(EventIgnored::Older)
        );
    }

    #[test]
    fn late_end_does_not_free_a_runner_that_runs_the_next_job() {
        let next = decide(&job(2, false, 20), RunnerStatus::Active, None).unwrap();
        assert_eq!(
            decide(&job(1, true, 20), RunnerStatus::Active, Some(&next.mark)),
            Err(EventIgnored::Older)
        );
        let first = decide(&job(1, true, 20), RunnerStatus::Active, None).unwrap();
        assert!(decide(&job(2, false, 20), RunnerStatus::Active, Some(&first.mark)).unwrap().busy);
    }

    #[test]
    fn job_of_a_runner_without_a_config_is_ignored() {
        assert_eq!(decide(&job(1, false, 1), RunnerStatus::Requested, None), Err(EventIgnored::NotThere));
        assert_eq!(decide(&job(1, false, 1), RunnerStatus::Deleted, None), Err(EventIgnored::NotThere));
    }

    #[test]
    fn labels_beyond_the_runners_own_are_reported_once() {
        let wrong = WorkflowJob { labels: vec!["gpu".into(), "prod".into()], ..job(1, false, 1) };
        let began = decide(&wrong, RunnerStatus::Pending, None).unwrap();
        assert_eq!(began.violations, [PolicyViolation::Labels(vec!["prod".into()])]);
        let ended = WorkflowJob { completed: true, ..wrong };
        assert!(decide(&ended, RunnerStatus::Active, Some(&began.mark)).unwrap().violations.is_empty());
        assert_eq!(decide(&ended, RunnerStatus::Active, None).unwrap().violations.len(), 1);
    }

    #[test]
    fn team_may_list_its_expected_jobs() {
        let offences = |job: &WorkflowJob, team: &Team| {
            let runner = runner(RunnerStatus::Pending);
            job.decide(&runner, team, None, DateTime::UNIX_EPOCH).unwrap().violations
        };
        let job = job(1, false, 1);
        for (repositories, workflows) in
            [(vec![], vec![]), (vec!["octo/*"], vec!["c?"]), (vec!["*/web"], vec![])]
        {
            assert!(offences(&job, &team(&repositories, &workflows)).is_empty());
        }
        for (repositories, workflows) in [(vec!["octo/api"], vec![]), (vec![], vec!["release"])] {
            assert_eq!(offences(&job, &team(&repositories, &workflows)), [PolicyViolation::Unexpected]);
        }
        let nameless = WorkflowJob { workflow: None, ..job };
        assert_eq!(offences(&nameless, &team(&[], &["*"])), [PolicyViolation::Unexpected]);
    }
}
