//! What GitHub told us is looked at, soon after it came, each delivery in a transaction of its own.

use chrono::TimeDelta;
use domain::{
    AuditEntry, InstallationChange, InstallationEvent, InstallationId, SecurityEvent, Severity, WebhookEvent,
};
use futures::future::join_all;
use serde_json::json;
use store::{NextDelivery, PendingDelivery, StoreError, Tx};
use uuid::Uuid;

use super::{outcome::Outcome, workflow_job};
use crate::{Parts, StepError, enqueue, suspension};

/// Deliveries of one step, at least; if so many were there, the next step follows at once.
pub(crate) const MAX_DELIVERIES_PER_STEP: u64 = 500;
/// Deliveries looked at at the same time.
const PARALLEL_DRAINS: u64 = 3;
/// Rows removed in one step.
const MAX_FORGOTTEN_PER_STEP: i64 = 5000;

/// Pause before a delivery that a newer version has stored is read again: one of its schedulers may take it meanwhile.
const UNREADABLE_PAUSE: TimeDelta = TimeDelta::minutes(1);
/// How long such a delivery waits for a newer version.
const UNREADABLE_PATIENCE: TimeDelta = TimeDelta::days(1);
/// What its row says until then.
const UNREADABLE: &str = "this version cannot read the stored row";

/// Looks at what is due. Any number of schedulers may do so at once. Answers how many deliveries were settled.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let lanes = join_all(
        (0..PARALLEL_DRAINS).map(|_| drain(&parts, MAX_DELIVERIES_PER_STEP.div_ceil(PARALLEL_DRAINS))),
    )
    .await;
    lanes.into_iter().sum()
}

/// One delivery after the other, up to `most`.
async fn drain(parts: &Parts, most: u64) -> Result<u64, StepError> {
    let mut done = 0;
    while done < most {
        let mut tx = parts.store.begin().await?;
        let Some(next) = tx.webhooks().lock_next().await? else { break };
        let id = match &next {
            NextDelivery::Pending(pending) => pending.id,
            NextDelivery::Unreadable(id) => *id,
        };
        match settle(parts, tx, next).await {
            Ok(()) => {}
            Err(StepError::Store(error @ StoreError::Unavailable(_))) => return Err(error.into()),
            Err(error) => put_off(parts, id, &error).await?,
        }
        done += 1;
    }
    Ok(done)
}

/// Forgets deliveries of more than seven days ago. Answers how many.
pub async fn forget(parts: Parts) -> Result<u64, StepError> {
    let mut conn = parts.store.conn().await?;
    let forgotten = conn.webhooks().forget(MAX_FORGOTTEN_PER_STEP).await?;
    Ok(forgotten + conn.installations().forget_redeliveries(MAX_FORGOTTEN_PER_STEP).await?)
}

async fn put_off(parts: &Parts, id: Uuid, error: &StepError) -> Result<(), StoreError> {
    tracing::warn!(delivery = %id, error = error as &dyn std::error::Error, "a webhook could not be looked at");
    metrics::counter!("rts_webhook_failures_total").increment(1);
    parts.store.conn().await?.webhooks().postpone(id, &error.to_string()).await
}

async fn settle(parts: &Parts, mut tx: Tx, next: NextDelivery) -> Result<(), StepError> {
    let pending = match next {
        NextDelivery::Pending(pending) => pending,
        NextDelivery::Unreadable(id) => {
            tx.webhooks().leave_unreadable(id, UNREADABLE_PAUSE, UNREADABLE_PATIENCE, UNREADABLE).await?;
            return Ok(tx.commit().await?);
        }
    };
    let outcome = process(parts, &mut tx, &pending).await?;
    tx.webhooks().settle(pending.id, outcome.state, Some(&outcome.note)).await?;
    let job = match &outcome.check {
        Some(new) => tx.jobs().insert_new(std::slice::from_ref(new)).await?.into_iter().next(),
        None => None,
    };
    tx.commit().await?;
    tracing::debug!(delivery = %pending.id, state = outcome.state.as_str(), note = outcome.note, "a webhook was looked at");
    metrics::counter!("rts_webhooks_settled_total", "state" => outcome.state.as_str()).increment(1);
    if let Some(job) = job
        && let Err(error) = enqueue::enqueue(parts, &[job], |_| 1.0).await
    {
        tracing::warn!(%error, "the queue is away; the look at the runner waits for the next sweep");
    }
    if let Some((installation, pause)) = &outcome.pause {
        suspension::pause_suspended(&parts.queue, installation, *pause).await;
    }
    Ok(())
}

async fn process(parts: &Parts, tx: &mut Tx, pending: &PendingDelivery) -> Result<Outcome, StoreError> {
    let Some(installation) = parts.installations.installation_of(&pending.whose, &pending.signed_for) else {
        return Ok(Outcome::ignored(match pending.whose.installation {
            Some(_) => "of an installation that is not ours",
            None => "it does not say which installation it is about",
        }));
    };
    match &pending.notice {
        WebhookEvent::WorkflowJob(job) => {
            workflow_job::process(parts, tx, (installation, job, pending.received_at)).await
        }
        WebhookEvent::Installation(news) => changed(tx, installation, (news, pending)).await,
    }
}

async fn changed(
    tx: &mut Tx,
    installation: &InstallationId,
    (news, pending): (&InstallationEvent, &PendingDelivery),
) -> Result<Outcome, StoreError> {
    let at = news.at.unwrap_or(pending.received_at);
    let ends = matches!(news.change, InstallationChange::Suspend | InstallationChange::Deleted);
    let github_id = pending.whose.installation.filter(|_| ends);
    if news.change != InstallationChange::NewPermissionsAccepted
        && !tx.installations().suspend(installation, github_id, at).await?
    {
        return Ok(Outcome::ignored("nothing new"));
    }
    let entry = AuditEntry {
        data: json!({ "installation": installation, "change": news.change, "by": news.by, "at": at }),
        ..AuditEntry::service("installation.changed")
    };
    tx.audit().write(&entry).await?;
    let (event_type, severity, action_taken) = match news.change {
        InstallationChange::Suspend | InstallationChange::Deleted => {
            tracing::error!(%installation, change = news.change.as_str(), "GitHub lets us do nothing any more; jobs wait");
            ("installation_suspended", Severity::Critical, "paused")
        }
        InstallationChange::Unsuspend => ("installation_unsuspended", Severity::Medium, "resumed"),
        InstallationChange::NewPermissionsAccepted => ("installation_permissions", Severity::Low, "none"),
    };
    tx.audit().alarm(&SecurityEvent { event_type, severity, action_taken }, &entry).await?;
    let matters = news.change != InstallationChange::NewPermissionsAccepted;
    let pause = matters.then(|| (installation.clone(), ends));
    Ok(Outcome { pause, ..Outcome::processed(news.change.as_str()) })
}
