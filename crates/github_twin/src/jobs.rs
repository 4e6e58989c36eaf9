//! Simulated workflow jobs: queued, in progress on a runner, completed; each step sends its webhook.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    clock::delta,
    routes::accounts::PERSON,
    state::{Runner, RunnerStatus, State},
    views::{self, stable_id, time},
    webhooks::Event,
};

/// Most jobs kept; completed ones are dropped first.
const MAX_JOBS: usize = 50_000;

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waits for a runner.
    Queued,
    /// Runs on a runner.
    InProgress,
    /// Has ended.
    Completed,
}

/// Result of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Every step succeeded.
    Success,
    /// A step failed.
    Failure,
    /// Cancelled by a user or a policy.
    Cancelled,
    /// Not run because of a condition.
    Skipped,
    /// Exceeded its time limit.
    TimedOut,
}

/// A workflow job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Id, unique in this twin.
    pub id: u64,
    /// Run that the job belongs to; every job has its own run.
    pub run_id: u64,
    /// `owner/name`.
    pub repository: String,
    /// Labels of `runs-on`.
    pub labels: Vec<String>,
    /// State.
    pub status: JobStatus,
    /// Result, once completed.
    pub conclusion: Option<Conclusion>,
    /// Runner that runs or ran the job.
    pub runner: Option<JobRunner>,
    /// Creation time on the twin's clock.
    pub created_at: DateTime<Utc>,
    /// Start time.
    pub started_at: Option<DateTime<Utc>>,
    /// End time.
    pub completed_at: Option<DateTime<Utc>>,
}

/// The runner of a job, as it was at the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRunner {
    /// Id of the runner.
    pub id: u64,
    /// Name of the runner.
    pub name: String,
    /// Id of its group.
    pub group_id: u64,
    /// Name of its group.
    pub group_name: String,
}

/// Error of a control command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No runner, job, installation or fault has this id.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The object exists, but its state does not allow the command.
    #[error("{0}")]
    Refused(String),
}

pub(crate) fn refused(why: impl Into<String>) -> ControlError {
    ControlError::Refused(why.into())
}

impl Job {
    /// Returns the job as `GET /repos/{owner}/{repo}/actions/jobs/{job_id}` shows it.
    pub(crate) fn view(&self, base: &str) -> Value {
        let repo = format!("{base}/repos/{}", self.repository);
        let page = format!("https://github.com/{}/actions/runs/{}", self.repository, self.run_id);
        let runner = self.runner.as_ref();
        let started = self.started_at.unwrap_or(self.created_at);
        json!({
            "id": self.id, "run_id": self.run_id, "run_url": format!("{repo}/actions/runs/{}", self.run_id),
            "run_attempt": 1, "node_id": format!("CR_kwDO{:08X}", self.id),
            "head_sha": sha(&self.repository), "head_branch": "main",
            "url": format!("{repo}/actions/jobs/{}", self.id), "html_url": format!("{page}/job/{}", self.id),
            "status": self.status, "conclusion": self.conclusion, "created_at": time(self.created_at),
            "started_at": time(started), "completed_at": self.completed_at.map(time),
            "name": "build", "steps": self.steps(), "workflow_name": "CI",
            "check_run_url": format!("{repo}/check-runs/{}", self.id), "labels": self.labels,
            "runner_id": runner.map(|r| r.id), "runner_name": runner.map(|r| &r.name),
            "runner_group_id": runner.map(|r| r.group_id),
            "runner_group_name": runner.map(|r| &r.group_name),
        })
    }

    /// Returns the job's run as `GET /repos/{owner}/{repo}/actions/runs/{run_id}` shows it; the run has only this job.
    pub(crate) fn run_view(&self, base: &str, since: DateTime<Utc>) -> Value {
        let repo = format!("{base}/repos/{}", self.repository);
        let url = format!("{repo}/actions/runs/{}", self.run_id);
        let repository = views::repository(base, &self.repository, since);
        let (sha, workflow) = (sha(&self.repository), stable_id(&format!("{}/CI", self.repository)));
        let person = views::account(base, PERSON, "User");
        let author = json!({"name": PERSON, "email": format!("{PERSON}@example.com")});
        let changed = self.completed_at.or(self.started_at).unwrap_or(self.created_at);
        let mut view = json!({
            "id": self.run_id, "node_id": format!("WFR_kwDO{:08X}", self.run_id), "name": "CI",
            "display_title": "Change the build", "head_branch": "main", "head_sha": sha,
            "path": ".github/workflows/ci.yml", "run_number": self.run_id, "run_attempt": 1, "event": "push",
            "status": self.status, "conclusion": self.conclusion, "workflow_id": workflow,
            "check_suite_id": self.run_id, "check_suite_node_id": format!("CS_kwDO{:08X}", self.run_id),
            "pull_requests": [], "referenced_workflows": [], "previous_attempt_url": null,
            "created_at": time(self.created_at), "updated_at": time(changed),
            "run_started_at": time(self.created_at), "actor": person, "triggering_actor": person,
            "url": url, "html_url": format!("https://github.com/{}/actions/runs/{}", self.repository, self.run_id),
            "workflow_url": format!("{repo}/actions/workflows/{workflow}"),
            "check_suite_url": format!("{repo}/check-suites/{}", self.run_id),
            "head_commit": {
                "id": sha, "tree_id": sha, "message": "Change the build", "timestamp": time(self.created_at),
                "author": author, "committer": author,
            },
            "head_repository": repository, "repository": repository,
        });
        for part in ["jobs", "logs", "artifacts", "cancel", "rerun"] {
            view[format!("{part}_url")] = json!(format!("{url}/{part}"));
        }
        view
    }

    /// Returns whether `word` is the job's status or conclusion.
    pub(crate) fn is_described_as(&self, word: &str) -> bool {
        json!(self.status) == word || self.conclusion.is_some_and(|conclusion| json!(conclusion) == word)
    }

    fn steps(&self) -> Value {
        let Some(started) = self.started_at else { return json!([]) };
        let (status, end) = match self.completed_at {
            Some(at) => ("completed", Some(at)),
            None => ("in_progress", None),
        };
        json!([{
            "name": "Set up job", "status": status, "conclusion": self.conclusion, "number": 1,
            "started_at": time(started), "completed_at": end.map(time),
        }])
    }
}

impl State {
    /// Queues a job; `repository` is `owner/name` of an organisation with an installation.
    pub(crate) fn queue_job(&mut self, repository: &str, labels: Vec<String>) -> Result<Job, ControlError> {
        let owner = repository.split('/').next().unwrap_or("");
        if self.installation_of(owner).is_none() || repository.split('/').count() != 2 {
            return Err(ControlError::NotFound("repository"));
        }
        if self.jobs.len() >= MAX_JOBS {
            self.jobs.retain(|_, j| j.status != JobStatus::Completed);
        }
        if self.jobs.len() >= MAX_JOBS || labels.len() > 100 {
            return Err(refused("too many jobs or labels"));
        }
        let (id, run_id, created_at) = (self.next_id(), self.next_id(), self.now());
        let job = Job {
            id,
            run_id,
            repository: repository.to_owned(),
            labels,
            status: JobStatus::Queued,
            conclusion: None,
            runner: None,
            created_at,
            started_at: None,
            completed_at: None,
        };
        self.jobs.insert(id, job.clone());
        self.add_repository(repository);
        self.announce_job(&job);
        Ok(job)
    }

    /// Assigns a queued job to an idle, online runner that has all its labels.
    pub(crate) fn start_job(&mut self, job: u64, runner: u64) -> Result<Job, ControlError> {
        let now = self.now();
        let runner = self.runners.get(&runner).ok_or(ControlError::NotFound("runner"))?;
        let group = self.groups_of(&runner.scope).iter().find(|g| g.id == runner.runner_group_id).cloned();
        let job = self.jobs.get_mut(&job).ok_or(ControlError::NotFound("job"))?;
        if job.status != JobStatus::Queued {
            return Err(refused("the job is not queued"));
        }
        if runner.busy || runner.status != RunnerStatus::Online {
            return Err(refused("the runner is not idle"));
        }
        if let Some(label) = job.labels.iter().find(|l| !has_label(runner, l)) {
            return Err(refused(format!("the runner has no label {label}")));
        }
        let in_scope = runner.scope.starts_with("orgs/");
        if group.as_ref().is_some_and(|g| in_scope && !g.serves(stable_id(&job.repository))) {
            return Err(refused("the runner's group is not open to the repository"));
        }
        let taken = JobRunner {
            id: runner.id,
            name: runner.name.clone(),
            group_id: runner.runner_group_id,
            group_name: group.map_or_else(|| "Default".to_owned(), |g| g.name),
        };
        if let Some(runner) = self.runners.get_mut(&taken.id) {
            runner.busy = true;
        }
        job.runner = Some(taken);
        job.status = JobStatus::InProgress;
        job.started_at = Some(now);
        let job = job.clone();
        self.announce_job(&job);
        Ok(job)
    }

    /// Completes a job. An ephemeral runner is removed, at once or after a moment; another one becomes idle.
    pub(crate) fn complete_job(&mut self, job: u64, conclusion: Conclusion) -> Result<Job, ControlError> {
        let now = self.now();
        let job = self.jobs.get_mut(&job).ok_or(ControlError::NotFound("job"))?;
        if job.status == JobStatus::Completed {
            return Err(refused("the job is completed"));
        }
        job.status = JobStatus::Completed;
        job.conclusion = Some(conclusion);
        job.completed_at = Some(now);
        let job = job.clone();
        if let Some(JobRunner { id, .. }) = job.runner {
            let later = self.config.removes_after;
            match self.runners.get_mut(&id) {
                Some(runner) if !runner.ephemeral => runner.busy = false,
                Some(runner) if !later.is_zero() => {
                    (runner.busy, runner.status) = (false, RunnerStatus::Offline);
                    self.leaving.push((now + delta(later), id));
                }
                _ => drop(self.remove_runner(id)),
            }
        }
        self.announce_job(&job);
        Ok(job)
    }

    fn announce_job(&mut self, job: &Job) {
        let owner = job.repository.split('/').next().unwrap_or("").to_owned();
        // Each App that is installed there delivers the event.
        let installations = self.installations.iter().filter(|i| i.org.eq_ignore_ascii_case(&owner));
        for installation in installations.map(|i| i.id).collect::<Vec<_>>() {
            self.announce_job_of(job, &owner, installation);
        }
    }

    fn announce_job_of(&mut self, job: &Job, owner: &str, installation: u64) {
        let base = self.base.clone();
        let action = match job.status {
            JobStatus::Queued => "queued",
            JobStatus::InProgress => "in_progress",
            JobStatus::Completed => "completed",
        };
        let payload = json!({
            "action": action, "workflow_job": job.view(&base),
            "repository": views::repository(&base, &job.repository, self.started),
            "organization": views::organization(&base, owner),
            "installation": {"id": installation, "node_id": format!("I_kwDO{installation:08X}")},
            "sender": views::account(&base, PERSON, "User"),
        });
        let (installation_id, repository_id) = (Some(installation), Some(stable_id(&job.repository)));
        self.emit(&Event { name: "workflow_job", action, installation_id, repository_id }, &payload);
    }
}

/// Returns the only commit id of a repository.
fn sha(repository: &str) -> String {
    format!("{:040x}", stable_id(repository))
}

fn has_label(runner: &Runner, label: &str) -> bool {
    runner.labels.iter().any(|l| l.name.eq_ignore_ascii_case(label))
}
