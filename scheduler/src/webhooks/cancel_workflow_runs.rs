//! Cancellation of workflow runs that violate a policy, repeated up to a bound until GitHub accepts it.

use chrono::TimeDelta;
use domain::{ActionTaken, AuditEntry, SecurityEvent, Severity};
use futures::future::join_all;
use github::{Cancellation as Answer, GitHubError};
use serde_json::json;
use store::{Cancellation, StoreError};

use crate::{Parts, StepError, suspension};

/// Cancellations of one step, requested at the same time.
const MAX_RUNS_PER_STEP: i64 = 8;
/// Requests per workflow run, over about 20 minutes.
const MAX_ATTEMPTS: i16 = 12;
/// Time after which a cancellation is due again if its scheduler died.
const TURN_TTL: TimeDelta = TimeDelta::minutes(1);
/// Delay while no request may be sent.
const RETRY_DELAY: TimeDelta = TimeDelta::seconds(10);

/// Result of one cancellation request.
enum CancelResult {
    Done(&'static str),
    Later { delay: TimeDelta, note: String, counts: bool },
}

/// Requests every cancellation that is due. Returns the number of settled cancellations.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    // Cancellations of paused installations are not taken: they would take the place of others. If the queue is
    // unavailable, each cancellation is delayed by itself.
    let paused = parts.installations.stopped_pools(&parts.queue).await.unwrap_or_default();
    let due =
        parts.store.conn().await?.cancellations().take_due(MAX_RUNS_PER_STEP, TURN_TTL, &paused).await?;
    let settled = join_all(due.iter().map(|one| async {
        let result = request_cancellation(&parts, one).await;
        record(&parts, one, result).await
    }));
    let mut done = 0;
    for settled in settled.await {
        done += u64::from(settled?);
    }
    Ok(done)
}

async fn request_cancellation(parts: &Parts, one: &Cancellation) -> CancelResult {
    if one.over {
        return CancelResult::Done("the job is over");
    }
    let wait = |note: &str| CancelResult::Later { delay: RETRY_DELAY, note: note.to_owned(), counts: false };
    if !parts.installations.has_pool(&one.installation) {
        return wait("no credential here");
    }
    let (app, github) = match parts.installations.usable_app(&parts.queue, &one.installation, &[]).await {
        Ok(Some(usable)) => usable,
        Ok(None) => return wait("the installation is paused"),
        Err(_) => return wait("the queue is unavailable"),
    };
    let Some((owner, name)) = one.repository.split_once('/') else {
        return retry_later(one, "no repository".to_owned());
    };
    match github.cancel_workflow_run(owner, name, one.run).await {
        Err(GitHubError::Suspended { message, .. }) => {
            if let Err(error) = suspension::record_suspension(parts, app, &message).await {
                tracing::warn!(%error, "a suspension could not be recorded");
            }
            wait("the installation is suspended")
        }
        Ok(Answer::Accepted) => CancelResult::Done("cancelled"),
        Ok(Answer::NotCancellable) => retry_later(one, "not cancellable now".to_owned()),
        Err(error) => after_error(one, &error),
    }
}

fn after_error(one: &Cancellation, error: &GitHubError) -> CancelResult {
    if let github::RetryAdvice::Wait(wait) = error.retry_advice() {
        let delay = TimeDelta::from_std(wait)
            .map_or(RETRY_DELAY, |wait| wait.clamp(TimeDelta::seconds(1), RETRY_DELAY));
        return CancelResult::Later { delay, note: error.to_string(), counts: false };
    }
    tracing::warn!(run = one.run, repository = one.repository, %error, "a workflow run could not be cancelled");
    retry_later(one, error.to_string())
}

/// Delays the next request by 2, 4, 8 … seconds, at most two minutes.
fn retry_later(one: &Cancellation, note: String) -> CancelResult {
    let delay = TimeDelta::seconds(1 << one.attempt.clamp(1, 7)).min(TimeDelta::minutes(2));
    CancelResult::Later { delay, note, counts: true }
}

/// Records a result. Returns true if the cancellation is settled.
async fn record(parts: &Parts, one: &Cancellation, result: CancelResult) -> Result<bool, StoreError> {
    let (done, note) = match result {
        CancelResult::Done(note) => (true, note.to_owned()),
        CancelResult::Later { note, counts, .. } if one.old || (counts && one.attempt >= MAX_ATTEMPTS) => {
            (false, note)
        }
        CancelResult::Later { delay, note, counts } => {
            parts.store.conn().await?.cancellations().postpone(one.id, delay, &note, counts).await?;
            return Ok(false);
        }
    };
    let mut tx = parts.store.begin().await?;
    if !tx.cancellations().settle(one.id, done, &note).await? {
        return Ok(false);
    }
    let entry = AuditEntry {
        runner: Some(one.runner),
        runner_name: Some(one.runner_name.clone()),
        team: Some(one.team),
        data: json!({ "run_id": one.run, "repository": one.repository, "reason": one.reason,
            "attempts": one.attempt, "result": note }),
        error: (!done).then(|| note.clone()),
        ..AuditEntry::service("workflow.cancel")
    };
    tx.audit().write(&entry).await?;
    let action = if done { ActionTaken::Cancelled } else { ActionTaken::GaveUp };
    tx.audit().update_action(one.team, one.runner, &[&one.reason], action).await?;
    if !done {
        let event = SecurityEvent {
            event_type: "workflow_not_cancelled",
            severity: Severity::Critical,
            action_taken: ActionTaken::GaveUp.as_str(),
        };
        tx.audit().alarm(&event, &entry).await?;
    }
    tx.commit().await?;
    Ok(true)
}
