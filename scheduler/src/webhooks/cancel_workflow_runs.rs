//! Workflow runs that should not go on are cancelled, as often as GitHub has to be asked, up to a bound.

use chrono::TimeDelta;
use domain::{ActionTaken, AuditEntry, SecurityEvent, Severity};
use futures::future::join_all;
use github::{Cancellation as Answer, GitHubError};
use serde_json::json;
use store::{Cancellation, StoreError};

use installations::{is_paused, paused_installations};

use crate::{Parts, StepError, suspension};

/// Cancellations of one step, asked for at the same time.
const MAX_RUNS_PER_STEP: i64 = 8;
/// GitHub is asked this often: within some 20 minutes.
const MAX_ATTEMPTS: i16 = 12;
/// When one is due again whose taker died.
const TURN_TTL: TimeDelta = TimeDelta::minutes(1);
/// How long one waits while nothing may be asked.
const RETRY_DELAY: TimeDelta = TimeDelta::seconds(10);

/// What came of asking.
enum CancelResult {
    Done(&'static str),
    Later { delay: TimeDelta, note: String, counts: bool },
}

/// Asks GitHub for every cancellation that is due. Answers how many were settled.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    // Those of an installation that must wait would only stand in the way of the others. With the queue away each waits
    // by itself.
    let resting = paused_installations(&parts.queue).await.unwrap_or_default();
    let due =
        parts.store.conn().await?.cancellations().take_due(MAX_RUNS_PER_STEP, TURN_TTL, &resting).await?;
    let settled = join_all(due.iter().map(|one| async {
        let verdict = ask(&parts, one).await;
        record(&parts, one, verdict).await
    }));
    let mut done = 0;
    for settled in settled.await {
        done += u64::from(settled?);
    }
    Ok(done)
}

async fn ask(parts: &Parts, one: &Cancellation) -> CancelResult {
    if one.over {
        return CancelResult::Done("the job is over");
    }
    let rest = |note: &str| CancelResult::Later { delay: RETRY_DELAY, note: note.to_owned(), counts: false };
    let Some(github) = parts.installations.get(&one.installation) else { return rest("no credential here") };
    match is_paused(&parts.queue, &one.installation).await {
        Ok(false) => {}
        Ok(true) => return rest("GitHub told us to wait"),
        Err(_) => return rest("the queue is away"),
    }
    let Some((owner, name)) = one.repository.split_once('/') else {
        return later(one, "no repository".to_owned());
    };
    match github.cancel_workflow_run(owner, name, one.run).await {
        Err(GitHubError::Suspended { message }) => {
            if let Err(error) = suspension::record_suspension(parts, &one.installation, &message).await {
                tracing::warn!(%error, "a suspension could not be written down");
            }
            rest("the installation is suspended")
        }
        Ok(Answer::Accepted) => CancelResult::Done("cancelled"),
        Ok(Answer::NotCancellable) => later(one, "not cancellable now".to_owned()),
        Err(error) => refused(one, &error),
    }
}

fn refused(one: &Cancellation, error: &GitHubError) -> CancelResult {
    if let github::RetryAdvice::Wait(wait) = error.retry_advice() {
        let delay = TimeDelta::from_std(wait)
            .map_or(RETRY_DELAY, |wait| wait.clamp(TimeDelta::seconds(1), RETRY_DELAY));
        return CancelResult::Later { delay, note: error.to_string(), counts: false };
    }
    tracing::warn!(run = one.run, repository = one.repository, %error, "a workflow run could not be cancelled");
    later(one, error.to_string())
}

/// 2, 4, 8 … seconds, two minutes at most.
fn later(one: &Cancellation, note: String) -> CancelResult {
    let delay = TimeDelta::seconds(1 << one.attempt.clamp(1, 7)).min(TimeDelta::minutes(2));
    CancelResult::Later { delay, note, counts: true }
}

/// True: it is settled.
async fn record(parts: &Parts, one: &Cancellation, verdict: CancelResult) -> Result<bool, StoreError> {
    let (done, note) = match verdict {
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
