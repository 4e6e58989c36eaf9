//! Drift check: compares one runner on GitHub, looked up by id, with its row, records its state and acts on drift. A
//! runner whose name differs is never changed or deleted. An action that GitHub refuses is never recorded as done.

use chrono::TimeDelta;
use domain::{
    ActionTaken, AuditEntry, BlockedOn, Deviation, Job, JobState, Problem, ProblemCode, Remedy, Runner,
    RunnerStatus, SecurityEvent, SeenRunner, Severity, Source, StatusChange, Team, TeamId,
};
use github::GitHub;
use installations::JobClient;
use serde_json::{Value, json};
use store::{Counter, StoreError, Tx};

use super::{
    JobOutcome, JobResult, after_error,
    runner_lookup::{self, RunnerState},
};
use crate::app::App;

/// Delays between the lookups that wait for GitHub to remove a runner whose workflow job is over.
const CLEANUP_RECHECK_DELAYS: [TimeDelta; 3] =
    [TimeDelta::seconds(10), TimeDelta::seconds(20), TimeDelta::seconds(40)];

/// Security event type of label drift.
const LABEL_DRIFT: &str = "label_drift_detected";
/// Reason recorded when a runner is removed because of label drift.
const LABELS_CHANGED: &str = "its labels were changed";

/// Checks the job's runner.
pub(super) async fn run(app: &App, client: &JobClient, job: &Job, source: Source) -> JobResult {
    let github = &client.github;
    let Some((runner, team)) = read(app, job).await? else {
        return Ok(JobOutcome::Final(JobState::Succeeded, None));
    };
    let Some(github_id) = runner.github_runner_id else {
        return Ok(JobOutcome::Final(JobState::Succeeded, None));
    };
    let check = Check { job, runner: &runner, github_id, source };
    let seen = match runner_lookup::fetch(app, client, &runner, job.now).await {
        Ok(RunnerState::Found(seen)) => seen,
        Ok(RunnerState::Gone) => return check.record_removal(app, "GitHub does not know it any more").await,
        Ok(RunnerState::NotYetKnown) => return Ok(JobOutcome::Final(JobState::Succeeded, None)),
        Err(error) => return Ok(after_error(job, &error)),
    };
    let Some(deviation) = Deviation::of(&runner.name, &runner.labels, &seen) else {
        return match check.await_cleanup() {
            Some(answer) => Ok(answer),
            None => check.record_state(app, Some(&seen), None).await,
        };
    };
    let remedy = match deviation {
        Deviation::Name { .. } => Remedy::Record,
        Deviation::Labels { .. } => app.drift.remedy(team.drift_response, seen.busy),
    };
    let breach = refused_labels(app, team.id, &seen).await?;
    check.report(app, &deviation, &breach, remedy).await?;
    match (&deviation, remedy) {
        (Deviation::Name { .. }, _) => check.record_state(app, None, Some(&deviation)).await,
        (_, Remedy::Record | Remedy::Spare) => check.record_state(app, Some(&seen), Some(&deviation)).await,
        (_, Remedy::Repair) => check.repair(app, github, &seen).await,
        (_, Remedy::Delete) => check.delete(app, github, &seen, &deviation).await,
    }
}

/// Returns the live runner and its team, or `None` if there is nothing to check.
async fn read(app: &App, job: &Job) -> Result<Option<(Runner, Team)>, StoreError> {
    let Some(id) = job.runner else { return Ok(None) };
    let mut conn = app.store.conn().await?;
    let Some(runner) = conn.runners().get(id).await? else { return Ok(None) };
    if matches!(runner.status, RunnerStatus::Requested | RunnerStatus::Deleted) {
        return Ok(None);
    }
    let team = conn.teams().basics(runner.team).await?;
    Ok(team.map(|team| (runner, team)))
}

/// Returns the labels of the runner that the team's policy does not allow.
async fn refused_labels(app: &App, team: TeamId, seen: &SeenRunner) -> Result<Vec<String>, StoreError> {
    let names: Vec<String> = seen.labels.iter().map(|label| label.name.clone()).collect();
    let team = app.store.conn().await?.teams().policy_on(team, &names).await?;
    let breach = team.and_then(|team| team.label_policy().breach(&seen.labels));
    Ok(breach.map(|breach| breach.refused).unwrap_or_default())
}

struct Check<'c> {
    job: &'c Job,
    runner: &'c Runner,
    github_id: i64,
    source: Source,
}

impl Check<'_> {
    /// Reports a deviation once, before anything is done about it: an interruption afterwards cannot hide it.
    async fn report(
        &self,
        app: &App,
        deviation: &Deviation,
        breach: &[String],
        remedy: Remedy,
    ) -> Result<(), StoreError> {
        let mut tx = app.store.begin().await?;
        if matches!(deviation, Deviation::Labels { .. }) {
            tx.runners()
                .record_foreign_labels(self.runner.id, Some(breach).filter(|labels| !labels.is_empty()))
                .await?;
        }
        if !tx.runners().record_drift(self.runner.id, Some(&deviation.fingerprint())).await? {
            return tx.commit().await;
        }
        let (event_type, severity) = match deviation {
            Deviation::Name { .. } => ("runner_name_mismatch", Severity::High),
            Deviation::Labels { .. } if breach.is_empty() => (LABEL_DRIFT, Severity::Medium),
            Deviation::Labels { .. } => (LABEL_DRIFT, Severity::High),
        };
        // The remedy follows later, so no action is recorded yet.
        let action_taken = match remedy {
            Remedy::Record | Remedy::Repair | Remedy::Delete => ActionTaken::None,
            Remedy::Spare => ActionTaken::LeftBusy,
        }
        .as_str();
        let entry = AuditEntry { data: self.details(deviation), ..AuditEntry::of_job(self.job, event_type) };
        tx.audit().alarm(&SecurityEvent { event_type, severity, action_taken }, &entry).await?;
        tx.commit().await?;
        tracing::warn!(runner = %self.runner.id, github_runner_id = self.github_id, event_type, action_taken, "runner drift found");
        Ok(())
    }

    fn details(&self, deviation: &Deviation) -> Value {
        json!({ "github_runner_id": self.github_id, "found": deviation })
    }

    /// Records the runner's state on GitHub and clears the stored drift unless `left` is a deviation that remains.
    async fn record_state(
        &self,
        app: &App,
        seen: Option<&SeenRunner>,
        left: Option<&Deviation>,
    ) -> JobResult {
        let Some(mut tx) = self.finish(app).await? else { return Ok(JobOutcome::Lost) };
        if let Some(seen) = seen {
            self.observe(&mut tx, seen).await?;
        }
        if left.is_none() {
            tx.runners().record_drift(self.runner.id, None).await?;
            tx.runners().record_foreign_labels(self.runner.id, None).await?;
        }
        tx.commit().await?;
        Ok(JobOutcome::Recorded)
    }

    /// Returns a later lookup for a runner whose only workflow job is over. GitHub removes such a runner by itself
    /// within moments; a soon lookup frees its quota without waiting for two sync runs. Returns `None` for other
    /// runners, and when the delays are used up.
    fn await_cleanup(&self) -> Option<JobOutcome> {
        let leaves = self.source == Source::Webhook && self.runner.ephemeral;
        let delay = usize::try_from(self.job.snoozes)
            .ok()
            .and_then(|nth| CLEANUP_RECHECK_DELAYS.get(nth))
            .filter(|_| leaves)?;
        let problem = Problem::new(ProblemCode::GithubUnavailable, "GitHub still lists the runner.");
        Some(JobOutcome::Later { delay: *delay, why: BlockedOn::Retry, count_as: Counter::Snooze, problem })
    }

    async fn repair(&self, app: &App, github: &GitHub, seen: &SeenRunner) -> JobResult {
        let own = |label: &&String| {
            !seen.labels.iter().any(|there| there.read_only && there.name.eq_ignore_ascii_case(label))
        };
        let labels: Vec<String> = self.runner.labels.iter().filter(own).cloned().collect();
        match github.set_labels(self.github_id, &labels).await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(JobOutcome::outage(self.job)),
            Err(error) => return Ok(after_error(self.job, &error)),
        }
        let Some(mut tx) = self.finish(app).await? else { return Ok(JobOutcome::Lost) };
        self.observe(&mut tx, seen).await?;
        tx.runners().record_drift(self.runner.id, None).await?;
        tx.runners().record_foreign_labels(self.runner.id, None).await?;
        self.set_event_action(&mut tx, ActionTaken::LabelsRestored).await?;
        let data = json!({ "github_runner_id": self.github_id, "labels": labels });
        tx.audit()
            .write(&AuditEntry { data, ..AuditEntry::of_job(self.job, "runner.labels_repaired") })
            .await?;
        tx.commit().await?;
        Ok(JobOutcome::Recorded)
    }

    /// Deletes the runner. A runner that became busy is spared, unless the operator's rules delete busy runners. In
    /// that case the job retries until its deadline, and the next sync run orders another check.
    async fn delete(
        &self,
        app: &App,
        github: &GitHub,
        seen: &SeenRunner,
        deviation: &Deviation,
    ) -> JobResult {
        match runner_lookup::remove(github, self.github_id).await {
            Ok(true) => self.record_removal(app, LABELS_CHANGED).await,
            Ok(false) if app.drift.delete_busy => {
                self.update_event(app, ActionTaken::RemovalRequested).await?;
                Ok(super::runner_busy(self.job))
            }
            Ok(false) => {
                self.update_event(app, ActionTaken::LeftBusy).await?;
                let busy = SeenRunner { busy: true, online: true, ..seen.clone() };
                self.record_state(app, Some(&busy), Some(deviation)).await
            }
            Err(error) => {
                self.update_event(app, ActionTaken::RemovalRequested).await?;
                Ok(after_error(self.job, &error))
            }
        }
    }

    async fn update_event(&self, app: &App, action: ActionTaken) -> Result<(), StoreError> {
        let mut tx = app.store.begin().await?;
        self.set_event_action(&mut tx, action).await?;
        tx.commit().await
    }

    async fn set_event_action(&self, tx: &mut Tx, action: ActionTaken) -> Result<(), StoreError> {
        tx.audit().update_action(self.runner.team, self.runner.id, &[LABEL_DRIFT], action).await
    }

    async fn record_removal(&self, app: &App, why: &'static str) -> JobResult {
        let Some(mut tx) = self.finish(app).await? else { return Ok(JobOutcome::Lost) };
        if tx.runners().mark_deleted(self.runner.id, self.source, why).await? {
            let data = json!({ "github_runner_id": self.github_id, "why": why });
            tx.audit().write(&AuditEntry { data, ..AuditEntry::of_job(self.job, "runner.deleted") }).await?;
            if why == LABELS_CHANGED {
                self.set_event_action(&mut tx, ActionTaken::Removed).await?;
            }
        }
        tx.commit().await?;
        Ok(JobOutcome::Recorded)
    }

    async fn observe(&self, tx: &mut Tx, seen: &SeenRunner) -> Result<(), StoreError> {
        tx.runners().reset_misses(self.runner.id).await?;
        let runner = &self.runner;
        let change = StatusChange::observed(runner.id, runner.status, runner.busy, seen.observation());
        if let Some(change) = change {
            tx.runners().change_status(&change, self.source).await?;
        }
        Ok(())
    }

    /// Finishes the job and returns the open transaction, or `None` if another start has taken over.
    async fn finish(&self, app: &App) -> Result<Option<Tx>, StoreError> {
        let mut tx = app.store.begin().await?;
        Ok(tx.jobs().finish(self.job, JobState::Succeeded, None).await?.then_some(tx))
    }
}
