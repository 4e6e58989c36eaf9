//! Inbox of webhook deliveries, each processed soon after its arrival in a transaction of its own.

use chrono::TimeDelta;
use domain::{
    AuditEntry, InstallationChange, InstallationEvent, InstallationId, SecurityEvent, Severity, WebhookEvent,
};
use futures::future::join_all;
use serde_json::json;
use store::{NextDelivery, PendingDelivery, StoreError, Tx, Webhooks};
use uuid::Uuid;

use super::{
    outcome::Outcome,
    suspension::{self, ensure_row},
    workflow_job::{self, JobEvent},
};
use crate::{Parts, StepError, enqueue};

/// Deliveries after which a step ends. The next step follows at once if there were that many.
pub(crate) const MAX_DELIVERIES_PER_STEP: u64 = 500;
/// Deliveries processed at the same time.
const PARALLEL_DRAINS: u64 = 3;
/// Rows removed by one step.
const MAX_FORGOTTEN_PER_STEP: i64 = 5000;

/// Pause before a delivery stored by a newer version is read again: a scheduler of that version may process it first.
const UNREADABLE_PAUSE: TimeDelta = TimeDelta::minutes(1);
/// Time for which such a delivery waits for a newer version.
const UNREADABLE_MAX_WAIT: TimeDelta = TimeDelta::days(1);
/// Note in the row of such a delivery.
const UNREADABLE_NOTE: &str = "this version cannot read the stored row";

/// Processes due deliveries; any number of schedulers may do so at the same time. Returns the number of settled
/// deliveries.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let drains = join_all(
        (0..PARALLEL_DRAINS).map(|_| drain(&parts, MAX_DELIVERIES_PER_STEP.div_ceil(PARALLEL_DRAINS))),
    )
    .await;
    drains.into_iter().sum()
}

/// Processes up to `limit` deliveries, one after the other.
async fn drain(parts: &Parts, limit: u64) -> Result<u64, StepError> {
    let mut done = 0;
    while done < limit {
        let mut tx = parts.store.begin().await?;
        let Some(next) = tx.webhooks().lock_next().await? else { break };
        let id = match &next {
            NextDelivery::Pending(pending) => pending.id,
            NextDelivery::Unreadable(id) => *id,
        };
        match settle(parts, tx, next).await {
            Ok(()) => {}
            Err(StepError::Store(error @ StoreError::Unavailable(_))) => return Err(error.into()),
            Err(StepError::Store(StoreError::Inconsistent(_))) => {
                leave_to_newer_version(parts.store.conn().await?.webhooks(), id).await?;
            }
            Err(error) => put_off(parts, id, &error).await?,
        }
        done += 1;
    }
    Ok(done)
}

/// Removes deliveries older than seven days. Returns the number of rows.
pub async fn forget(parts: Parts) -> Result<u64, StepError> {
    let mut conn = parts.store.conn().await?;
    let forgotten = conn.webhooks().forget(MAX_FORGOTTEN_PER_STEP).await?;
    Ok(forgotten + conn.installations().forget_redeliveries(MAX_FORGOTTEN_PER_STEP).await?)
}

async fn put_off(parts: &Parts, id: Uuid, error: &StepError) -> Result<(), StoreError> {
    tracing::warn!(delivery = %id, error = error as &dyn std::error::Error, "a webhook delivery could not be processed");
    metrics::counter!("rts_webhook_failures_total").increment(1);
    parts.store.conn().await?.webhooks().postpone(id, &error.to_string()).await
}

/// Leaves a delivery that is, or concerns, a row that this version cannot read.
async fn leave_to_newer_version(mut webhooks: Webhooks<'_>, id: Uuid) -> Result<(), StoreError> {
    webhooks.leave_unreadable(id, UNREADABLE_PAUSE, UNREADABLE_MAX_WAIT, UNREADABLE_NOTE).await
}

async fn settle(parts: &Parts, mut tx: Tx, next: NextDelivery) -> Result<(), StepError> {
    let pending = match next {
        NextDelivery::Pending(pending) => pending,
        NextDelivery::Unreadable(id) => {
            leave_to_newer_version(tx.webhooks(), id).await?;
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
    tracing::debug!(delivery = %pending.id, state = outcome.state.as_str(), note = outcome.note, "a webhook delivery was processed");
    metrics::counter!("rts_webhooks_settled_total", "state" => outcome.state.as_str()).increment(1);
    if let Some(job) = job
        && let Err(error) = enqueue::enqueue(parts, &[job], |_| 1.0).await
    {
        tracing::warn!(%error, "the queue is unavailable; the next requeue enqueues the check of the runner");
    }
    if let Some((installation, pause)) = &outcome.pause {
        suspension::pause_suspended(parts, installation, *pause).await;
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
            // Each App of a pool delivers the event; the second delivery changes nothing.
            let installation = parts.installations.pool_of(installation);
            let event = JobEvent { installation, job, received_at: pending.received_at };
            workflow_job::process(parts, tx, &event).await
        }
        WebhookEvent::Installation(event) => {
            ensure_row(parts, tx, installation).await?;
            process_installation_event(tx, installation, event, pending).await
        }
    }
}

async fn process_installation_event(
    tx: &mut Tx,
    installation: &InstallationId,
    event: &InstallationEvent,
    pending: &PendingDelivery,
) -> Result<Outcome, StoreError> {
    let at = event.at.unwrap_or(pending.received_at);
    let ends = matches!(event.change, InstallationChange::Suspend | InstallationChange::Deleted);
    let github_id = pending.whose.installation.filter(|_| ends);
    if event.change != InstallationChange::NewPermissionsAccepted
        && !tx.installations().suspend(installation, github_id, at).await?
    {
        return Ok(Outcome::ignored("nothing new"));
    }
    let entry = AuditEntry {
        data: json!({ "installation": installation, "change": event.change, "by": event.by, "at": at }),
        ..AuditEntry::service("installation.changed")
    };
    tx.audit().write(&entry).await?;
    let (event_type, severity, action_taken) = match event.change {
        InstallationChange::Suspend | InstallationChange::Deleted => {
            tracing::error!(%installation, change = event.change.as_str(), "installation suspended by GitHub; its jobs are paused");
            ("installation_suspended", Severity::Critical, "paused")
        }
        InstallationChange::Unsuspend => ("installation_unsuspended", Severity::Medium, "resumed"),
        InstallationChange::NewPermissionsAccepted => ("installation_permissions", Severity::Low, "none"),
    };
    tx.audit().alarm(&SecurityEvent { event_type, severity, action_taken }, &entry).await?;
    let matters = event.change != InstallationChange::NewPermissionsAccepted;
    let pause = matters.then(|| (installation.clone(), ends));
    Ok(Outcome { pause, ..Outcome::processed(event.change.as_str()) })
}
