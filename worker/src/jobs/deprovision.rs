//! Deprovision: removal of one runner from GitHub after proof of its identity. A runner that is already gone counts as
//! success; a busy one is retried later.

use chrono::TimeDelta;
use domain::{
    ActionTaken, AuditEntry, BlockedOn, Call, CallId, CallState, Job, JobState, Problem, ProblemCode,
    REGISTRATION_GRACE, ReclaimReason, Runner, RunnerName, RunnerStatus, SeenRunner, Source, StatusChange,
};
use github::{GitHub, GitHubError};
use installations::JobClient;
use serde_json::json;
use store::Counter;

use super::{
    JobOutcome, JobResult, after_error, runner_busy,
    runner_lookup::{self, RunnerState},
};
use crate::app::App;

/// Removes the runner of the job's row, by its GitHub id and only if GitHub knows that id under the row's name. With a
/// `reason`, the removal is automatic and happens only while the runner is neither online nor busy.
pub(super) async fn remove_runner(
    app: &App,
    client: &JobClient,
    job: &Job,
    reason: Option<ReclaimReason>,
) -> JobResult {
    let github = &client.github;
    let Some(id) = job.runner else {
        return Ok(JobOutcome::failed(ProblemCode::InternalError, "The job has no runner."));
    };
    let row = app.store.conn().await?.runners().get(id).await?;
    let Some(row) = row.filter(|row| row.status != RunnerStatus::Deleted) else {
        return Ok(JobOutcome::Final(JobState::Succeeded, None));
    };
    // The runner has used its token. Its owner decides when it is started.
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
    match runner_lookup::fetch(app, client, &row, job.now).await {
        Ok(RunnerState::Found(seen)) => {
            let seen = SeenRunner { github_id, ..seen };
            remove_seen(app, github, job, &row, seen, reason).await
        }
        Ok(RunnerState::Gone) => record_removed(app, job, &row, "GitHub does not know it any more").await,
        Ok(RunnerState::NotYetKnown) => Ok(retry_when_known()),
        Err(error) => Ok(after_error(job, &error)),
    }
}

/// Removes a runner that GitHub has shown, unless it has another name or is in use.
async fn remove_seen(
    app: &App,
    github: &GitHub,
    job: &Job,
    row: &Runner,
    seen: SeenRunner,
    reason: Option<ReclaimReason>,
) -> JobResult {
    if seen.name != row.name {
        tracing::error!(
            github_runner_id = seen.github_id,
            "GitHub's id belongs to a runner of another name; left alone"
        );
        return Ok(JobOutcome::failed(
            ProblemCode::GithubRefused,
            "GitHub knows this id by another name; nothing was deleted.",
        ));
    }
    if reason.is_some() && (seen.online || seen.busy) {
        return leave_in_use(app, job, row, Some(&seen)).await;
    }
    // GitHub refuses to delete a busy runner, but some servers do not, and each refusal costs a request.
    if seen.busy {
        return Ok(runner_busy(job));
    }
    match runner_lookup::remove(github, seen.github_id).await {
        Ok(true) => {
            record_removed(app, job, row, reason.map_or("removed on request", ReclaimReason::as_str)).await
        }
        Ok(false) if reason.is_some() => {
            leave_in_use(app, job, row, Some(&SeenRunner { online: true, busy: true, ..seen })).await
        }
        Ok(false) => Ok(runner_busy(job)),
        Err(error) => Ok(after_error(job, &error)),
    }
}

/// Handles a runner that was to register itself. Without a runner of that name on GitHub, it never registered.
/// Otherwise the job waits until the next sync run has found out whether that runner is ours.
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

/// Leaves a runner alone that is in use after all. If a caller has asked for its removal since the job began, the job
/// runs again instead.
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
    tracing::info!(runner = %row.id, "the runner is in use after all; it is left alone");
    Ok(JobOutcome::Recorded)
}

/// Removes a possible orphan of a call of ours. It is ours if it has the name of that call and belongs to no row. It is
/// left alone while it is online or busy. It is also left alone while a different attempt may have made it: a name that
/// a caller chose is free again once its job has failed.
pub(super) async fn remove_orphan(
    app: &App,
    github: &GitHub,
    job: &Job,
    id: CallId,
    name: &RunnerName,
) -> JobResult {
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
    // Read after GitHub was asked: an attempt records its intent before it makes a runner.
    let claimed = call.github_runner_id.is_none() && conn.github_calls().name_is_claimed(&call).await?;
    if claimed {
        tracing::info!(github_runner_id = found.id, %name, "a possible orphan has a name that is in use; it will be checked again");
        conn.github_calls().postpone_lookup(&call).await?;
        return Ok(JobOutcome::Final(JobState::Succeeded, None));
    }
    if found.busy || found.status != "offline" {
        tracing::warn!(github_runner_id = found.id, %name, "an orphan is in use; it is left alone for now");
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

/// Ends the lookups for a call: nothing of it is left, or its runner belongs to a row.
async fn settle_call(app: &App, job: &Job, call: &Call, removed: Option<i64>) -> JobResult {
    let mut tx = app.store.begin().await?;
    if !tx.jobs().finish(job, JobState::Succeeded, None).await? {
        return Ok(JobOutcome::Lost);
    }
    tx.github_calls().conclude(call.id, CallState::Settled, removed, None).await?;
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

/// Runs the job again, because a caller has asked for the removal.
fn retry_for_caller() -> JobOutcome {
    let problem = Problem::new(ProblemCode::JobExpired, "There was no time left to remove it.");
    JobOutcome::Later { delay: TimeDelta::zero(), why: BlockedOn::Worker, count_as: Counter::Snooze, problem }
}

/// Waits, because GitHub may not list yet what was just created.
fn retry_when_known() -> JobOutcome {
    let problem = Problem::new(ProblemCode::GithubUnavailable, "GitHub did not know the runner in time.");
    JobOutcome::Later {
        delay: REGISTRATION_GRACE / 2,
        why: BlockedOn::Retry,
        count_as: Counter::Snooze,
        problem,
    }
}
