//! Inbox of GitHub's webhook deliveries: stored first, processed afterwards, kept for seven days.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{InstallationId, RunnerId, WebhookEvent, WebhookSource, WorkflowMark};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Result, StoreError,
    jobs::seconds,
    readable::{keep_readable, read_exactly},
};

/// Attempts after which a delivery has failed for good.
const MAX_ATTEMPTS: i32 = 5;

/// Webhook queries on one connection.
#[derive(Debug)]
pub struct Webhooks<'c>(pub(crate) &'c mut PgConnection);

/// State of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxState {
    /// It waits to be processed.
    Pending,
    /// It changed something.
    Processed,
    /// It changed nothing.
    Ignored,
    /// It could not be read or processed.
    Failed,
}

impl InboxState {
    /// Returns the stored text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processed => "processed",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }
}

/// A delivery that has just arrived.
#[derive(Clone, Debug)]
pub struct NewDelivery<'a> {
    /// GitHub's id of the event, which a redelivery keeps.
    pub id: Uuid,
    /// Name of the event.
    pub event: &'a str,
    /// Action of the event.
    pub action: Option<&'a str>,
    /// Origin that the payload states.
    pub whose: &'a WebhookSource,
    /// Installations whose secret signed it.
    pub signed_for: &'a [InstallationId],
    /// Parsed event; `None` for a delivery that is final at once.
    pub notice: Option<&'a WebhookEvent>,
    /// State of the delivery.
    pub state: InboxState,
    /// Reason of the state.
    pub note: Option<&'a str>,
}

/// A delivery to process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDelivery {
    /// GitHub's id of the event.
    pub id: Uuid,
    /// Origin that the payload states.
    pub whose: WebhookSource,
    /// Installations whose secret signed it; empty if that was not recorded.
    pub signed_for: Vec<InstallationId>,
    /// Parsed event.
    pub notice: WebhookEvent,
    /// Time it arrived.
    pub received_at: DateTime<Utc>,
}

/// The next delivery of the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextDelivery {
    /// A delivery to process, locked until the end of the transaction.
    Pending(Box<PendingDelivery>),
    /// A delivery that this version cannot read, locked until the end of the transaction.
    Unreadable(Uuid),
}

/// The runner of a workflow job, locked until the end of the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowRunner {
    /// Id of the runner.
    pub runner: RunnerId,
    /// Newest workflow job seen on it.
    pub seen: Option<WorkflowMark>,
}

impl Webhooks<'_> {
    /// Stores a delivery. Returns `false` if it was stored before.
    pub async fn receive(&mut self, new: &NewDelivery<'_>) -> Result<bool> {
        let payload = serde_json::to_value(new.notice).map_err(StoreError::inconsistent)?;
        let signed_for: Vec<String> = new.signed_for.iter().map(ToString::to_string).collect();
        let done = sqlx::query!(
            "INSERT INTO webhook_inbox (delivery_id, event, action, github_installation, payload, state, note, signed_for,
                organization, enterprise, settled_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $6 = 'pending' THEN NULL ELSE now() END)
             ON CONFLICT (delivery_id) DO NOTHING",
            new.id,
            new.event,
            new.action,
            new.whose.installation,
            payload,
            new.state.as_str(),
            new.note,
            &signed_for,
            new.whose.organization,
            new.whose.enterprise,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Returns the oldest delivery that is due and that no other process has locked.
    pub async fn lock_next(&mut self) -> Result<Option<NextDelivery>> {
        let row = sqlx::query!(
            "SELECT delivery_id, github_installation, signed_for, organization, enterprise, payload, received_at
             FROM webhook_inbox
             WHERE state = 'pending' AND next_at <= now() ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(row.map(|row| {
            let signed_for = row.signed_for.iter().map(|id| id.parse().map_err(StoreError::inconsistent));
            let signed_for = keep_readable(signed_for.collect());
            let (Some(notice), Some(signed_for)) = (keep_readable(read_exactly(&row.payload)), signed_for)
            else {
                return NextDelivery::Unreadable(row.delivery_id);
            };
            NextDelivery::Pending(Box::new(PendingDelivery {
                id: row.delivery_id,
                whose: WebhookSource {
                    installation: row.github_installation,
                    organization: row.organization,
                    enterprise: row.enterprise,
                },
                signed_for,
                notice,
                received_at: row.received_at,
            }))
        }))
    }

    /// Records the final state of a delivery.
    pub async fn settle(&mut self, id: Uuid, state: InboxState, note: Option<&str>) -> Result<()> {
        sqlx::query!(
            "UPDATE webhook_inbox SET state = $2, note = $3, attempts = attempts + 1, settled_at = now()
             WHERE delivery_id = $1 AND state = 'pending'",
            id,
            state.as_str(),
            note,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Postpones a delivery after a failure, twice as long each time; the fifth failure is final.
    pub async fn postpone(&mut self, id: Uuid, note: &str) -> Result<()> {
        sqlx::query!(
            "UPDATE webhook_inbox SET attempts = attempts + 1, note = $2,
                next_at = now() + make_interval(secs => power(2, attempts)),
                state = CASE WHEN attempts + 1 >= $3 THEN 'failed' ELSE state END,
                settled_at = CASE WHEN attempts + 1 >= $3 THEN now() END
             WHERE delivery_id = $1 AND state = 'pending'",
            id,
            note,
            MAX_ATTEMPTS,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Leaves a delivery that this version cannot read to a newer one. It is due again after `pause`, and no attempt
    /// counts. A delivery older than `max_age` fails.
    pub async fn leave_unreadable(
        &mut self,
        id: Uuid,
        pause: TimeDelta,
        max_age: TimeDelta,
        note: &str,
    ) -> Result<()> {
        sqlx::query!(
            "UPDATE webhook_inbox SET note = $2, next_at = now() + make_interval(secs => $3),
                state = CASE WHEN received_at < now() - make_interval(secs => $4) THEN 'failed' ELSE state END,
                settled_at = CASE WHEN received_at < now() - make_interval(secs => $4) THEN now() END
             WHERE delivery_id = $1 AND state = 'pending'",
            id,
            note,
            seconds(pause),
            seconds(max_age),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Deletes up to `most` deliveries that became final seven days ago. Returns how many.
    pub async fn forget(&mut self, most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM webhook_inbox WHERE delivery_id IN (
                SELECT delivery_id FROM webhook_inbox
                WHERE state <> 'pending' AND settled_at < now() - interval '7 days' LIMIT $1 FOR UPDATE SKIP LOCKED)",
            most
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Returns the runner of a workflow job that is not deleted: by GitHub's id unless the names differ, else by its
    /// exact name unless the ids differ.
    pub async fn lock_runner(
        &mut self,
        installation: &InstallationId,
        github_id: Option<i64>,
        name: Option<&str>,
    ) -> Result<Option<WorkflowRunner>> {
        let row = sqlx::query!(
            "SELECT id, workflow_job_id, workflow_completed, workflow_event_at FROM runners
             WHERE installation = $1 AND status <> 'deleted'
                AND ((github_runner_id = $2 AND ($3::text IS NULL OR lower(name) = lower($3)))
                    OR (lower(name) = lower($3) AND name = $3 AND ($2::int8 IS NULL OR github_runner_id IS NULL)))
             ORDER BY github_runner_id = $2 DESC NULLS LAST LIMIT 1 FOR UPDATE",
            installation.as_str(),
            github_id,
            name,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(row.map(|row| WorkflowRunner {
            runner: row.id.into(),
            seen: row
                .workflow_job_id
                .zip(row.workflow_completed)
                .zip(row.workflow_event_at)
                .map(|((job, completed), at)| WorkflowMark { job, completed, at }),
        }))
    }

    /// Returns the deleted runner of a workflow job, by GitHub's id and exact name, for an event that arrives after the
    /// runner's deletion.
    pub async fn lock_deleted_runner(
        &mut self,
        installation: &InstallationId,
        github_id: Option<i64>,
        name: Option<&str>,
    ) -> Result<Option<RunnerId>> {
        let id = sqlx::query_scalar!(
            "SELECT id FROM runners
             WHERE installation = $1 AND status = 'deleted' AND github_runner_id = $2 AND name = $3
             ORDER BY id DESC LIMIT 1 FOR UPDATE",
            installation.as_str(),
            github_id,
            name,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(id.map(RunnerId::from))
    }

    /// Records the newest workflow job of a runner, and counts the time from the hand-out of its config to the start of
    /// its first one.
    pub async fn record_workflow_job(&mut self, runner: RunnerId, mark: &WorkflowMark) -> Result<()> {
        let begun_after = sqlx::query_scalar!(
            "WITH old AS (SELECT id, workflow_job_id FROM runners WHERE id = $1 AND status <> 'deleted' FOR UPDATE)
             UPDATE runners SET workflow_job_id = $2, workflow_completed = $3, workflow_event_at = $4
             FROM old WHERE runners.id = old.id
             RETURNING CASE WHEN old.workflow_job_id IS NULL AND NOT $3 THEN (
                SELECT extract(epoch FROM clock_timestamp() - first_read_at)::float8 FROM credentials
                    JOIN jobs ON jobs.id = credentials.job_id
                WHERE jobs.runner_id = old.id AND first_read_at IS NOT NULL LIMIT 1) END",
            runner.uuid(),
            mark.job,
            mark.completed,
            mark.at,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        if let Some(seconds) = begun_after.flatten() {
            metrics::histogram!("rts_runner_first_job_seconds").record(seconds.max(0.0));
        }
        Ok(())
    }
}
