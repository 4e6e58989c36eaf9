//! Deprovision: remove one runner from GitHub, on proof of what it is. Gone already is success; busy waits.

use chrono::TimeDelta;
use domain::{
    ActionTaken, AuditEntry, BlockedOn, Call, CallId, CallState, Job, JobState, Problem, ProblemCode,
    REGISTRATION_GRACE, ReclaimReason, Runner, RunnerName, RunnerStatus, SeenRunner, Source, StatusChange,
};
use github::{GitHub, GitHubError};
use serde_json::json;
use store::Counter;

use super::{
    JobOutcome, JobResult, after_error, no_credential, runner_busy,
    runner_lookup::{self, RunnerState},
};
use crate::app::App;

/// Removes the runner of the job's runner row: by GitHub's id, and only if it bears the row's name. A leftover is
/// removed only while it is neither online nor busy.
pub(super) async fn remove_runner(app: &App, job: &Job, reason: Option<ReclaimReason>) -> JobResult {
    let Some(github) = app.installations.get(&job.installation) else { return Ok(no_credential(job)) };
    let Some(id) = job.runner else {
        return Ok(JobOutcome::failed(ProblemCode::InternalError, "The job has no runner."));
    };
    let row = app.store.conn().await?.runners().get(id).await?;
    let Some(row) = row.filter(|row| row.status != RunnerStatus::Deleted) else {
        return Ok(JobOutcome::Final(JobState::Succeeded, None));
    };
    // It has used its token after all; when it is started is its owner's affair.
    let came = row.registers_itself && row.github_runner_id.is_some();
    if came && reason == Some(ReclaimReason::Unused) {
        return leave_in_use(app, job, &row, None).await;
    }
    let Some(github_id) = row.github_runner_id else {
        if row.registers_itself && row.status == RunnerStatus::Pending {
            return remove_unregistered(app, github, job, &row).await;
        }
        return Ok(JobOutcome::failed(
            ProblemCode::RunnerBusy,
            "The runner is still being made; cancel its job instead.",
        ));
    };
    let seen = match runner_lookup::fetch(app, github, &row, job.now).await {
        Ok(RunnerState::There(seen)) => seen,
        Ok(RunnerState::Gone) => {
            return record_removed(app, job, &row, "GitHub does not know it any more").await;
        }
        Ok(RunnerState::NotYetKnown) => return Ok(retry_when_known()),
        Err(error) => return Ok(after_error(job, &error)),
    };
    if seen.name != row.name {
        tracing::error!(
            github_runner_id = github_id,
            "GitHub's id belongs to a runner of another name; left alone"
        );
        return Ok(JobOutcome::failed(
            ProblemCode::GithubRefused,
            "GitHub knows this id by another name; nothing was deleted.",
        ));
    }
    if reason.is_some() && (seen.online || seen.busy) {
        return leave_in_use(app, job, &row, Some(&seen)).await;
    }
    // GitHub would refuse; but not every server does, and each refusal costs a request.
    if seen.busy {
        return Ok(runner_busy(job));
    }
    match runner_lookup::remove(github, github_id).await {
        Ok(true) => {
            record_removed(app, job, &row, reason.map_or("removed on request", ReclaimReason::as_str)).await
        }
        Ok(false) if reason.is_some() => {
            leave_in_use(app, job, &row, Some(&SeenRunner { online: true, busy: true, ..seen })).await
        }
        Ok(false) => Ok(runner_busy(job)),
        Err(error) => Ok(after_error(job, &error)),
    }
}

/// A runner that was to register itself: if GitHub lists nobody of its name, it has not. If somebody bears it, the next
/// pass finds out whether it is ours, and this job waits for that.
async fn remove_unregistered(app: &App, github: &GitHub, job: &Job, row: &Runner) -> JobResult {
    match github.find_runner(&row.name).await {
        Ok(Some(found)) if found.name == row.name => Ok(retry_when_known()),
        Ok(_) => record_removed(app, job, row, "it never registered itself").await,
        Err(error) => Ok(after_error(job, &error)),
    }
}

async fn record_removed(app: &App, job: &Job, row: &Runner, why: &str) -> JobResult {
    let mut tx = app.store.begin().await?;
    if !tx.jobs().finish(job, JobState::Succeeded, None).await? {
        return Ok(JobOutcome::Lost);
    }
    if tx.runners().mark_deleted(row.id, Source::Job, why).await? {
        let data = json!({ "github_runner_id": row.github_runner_id, "why": why });
        let entry = AuditEntry { data, ..AuditEntry::of_job(job, "runner.deleted") };
        tx.audit().write(&entry).await?;
        let refused = ["label_policy_violation", "runner_group_violation"];
        for event_type in refused {
            tx.audit().update_action(row.team, row.id, &[event_type], ActionTaken::Removed).await?;
        }
    }
    tx.commit().await?;
    Ok(JobOutcome::Recorded)
}

/// A leftover that is in use after all is no leftover; unless somebody has asked for its removal since the job began.
async fn leave_in_use(app: &App, job: &Job, row: &Runner, seen: Option<&SeenRunner>) -> JobResult {
    let mut tx = app.store.begin().await?;
    if !tx.jobs().finish(job, JobState::Succeeded, None).await? {
        return Ok(JobOutcome::Lost);
    }
    if tx.jobs().get(job.id).await?.is_some_and(|now| now.waiters > 0) {
        return Ok(retry_for_caller());
    }
    let observed =
        seen.and_then(|seen| StatusChange::observed(row.id, row.status, row.busy, seen.observation()));
    if let Some(change) = observed {
        tx.runners().change_status(&change, Source::Job).await?;
    }
    tx.commit().await?;
    tracing::info!(runner = %row.id, "it is in use after all; left alone");
    Ok(JobOutcome::Recorded)
}

/// Removes what a call of ours may have left behind. It is ours if it bears the name that call asked for and belongs to
/// no row. It is left alone while it is online or busy, and while somebody else may have made it: a name the caller chose
/// is free again once its job has failed.
pub(super) async fn remove_orphan(app: &App, job: &Job, id: CallId, name: &RunnerName) -> JobResult {
    let Some(github) = app.installations.get(&job.installation) else { return Ok(no_credential(job)) };
    let call = app.store.conn().await?.github_calls().get(id).await?;
    let Some(call) = call.filter(|call| call.state == CallState::EffectSuspected) else {
        return Ok(JobOutcome::Final(JobState::Succeeded, None));
    };
    let found = match look_up(github, &call, name).await {
        Ok(found) => found,
        Err(error) => return Ok(after_error(job, &error)),
    };
    let Some(found) = found.filter(|found| found.name == name.as_str()) else {
        app.store.conn().await?.github_calls().record_lookup(&call).await?;
        return Ok(JobOutcome::Final(JobState::Succeeded, None));
    };
    let mut conn = app.store.conn().await?;
    if conn.runners().by_github_id(&job.installation, found.id).await?.is_some() {
        return settle_call(app, job, &call, None).await;
    }
    // Looked at after GitHub was: whoever made what was found had written that down before.
    let claimed = call.github_runner_id.is_none() && conn.github_calls().name_is_claimed(&call).await?;
    if claimed {
        tracing::info!(github_runner_id = found.id, %name, "what may be a stray bears a name in use; looked at again soon");
        conn.github_calls().postpone_lookup(&call).await?;
        return Ok(JobOutcome::Final(JobState::Succeeded, None));
    }
    if found.busy || found.status != "offline" {
        tracing::warn!(github_runner_id = found.id, %name, "a stray is in use; it is left alone for now");
        conn.github_calls().record_lookup(&call).await?;
        return Ok(JobOutcome::Final(JobState::Succeeded, None));
    }
    drop(conn);
    match runner_lookup::remove(github, found.id).await {
        Ok(true) => settle_call(app, job, &call, Some(found.id)).await,
        Ok(false) => Ok(runner_busy(job)),
        Err(error) => Ok(after_error(job, &error)),
    }
}

async fn look_up(
    github: &GitHub,
    call: &Call,
    name: &RunnerName,
) -> Result<Option<github::Runner>, GitHubError> {
    match call.github_runner_id {
        Some(id) => github.get_runner(id).await,
        None => github.find_runner(name.as_str()).await,
    }
}

/// Nothing of the call is left, or what it made belongs to a row: it is looked up no more.
async fn settle_call(app: &App, job: &Job, call: &Call, removed: Option<i64>) -> JobResult {
    let mut tx = app.store.begin().await?;
    if !tx.jobs().finish(job, JobState::Succeeded, None).await? {
        return Ok(JobOutcome::Lost);
    }
    tx.github_calls().conclude(call.id, CallState::Settled, removed).await?;
    if let Some(github_id) = removed {
        let entry = AuditEntry {
            runner_name: Some(call.runner_name.to_string()),
            job: Some(call.job),
            data: json!({ "github_runner_id": github_id, "generation": call.generation }),
            ..AuditEntry::service("stray.deleted")
        };
        tx.audit().write(&entry).await?;
    }
    tx.commit().await?;
    Ok(JobOutcome::Recorded)
}

/// Once more, and this time because somebody asked.
fn retry_for_caller() -> JobOutcome {
    let problem = Problem::new(ProblemCode::JobExpired, "There was no time left to remove it.");
    JobOutcome::Later { delay: TimeDelta::zero(), why: BlockedOn::Worker, count_as: Counter::Snooze, problem }
}

/// GitHub may not know yet what it has only just made.
fn retry_when_known() -> JobOutcome {
    let problem = Problem::new(ProblemCode::GithubUnavailable, "GitHub did not know the runner in time.");
    JobOutcome::Later {
        delay: REGISTRATION_GRACE / 2,
        why: BlockedOn::Retry,
        count_as: Counter::Snooze,
        problem,
    }
}
