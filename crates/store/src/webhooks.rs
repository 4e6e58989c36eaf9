//! Deliveries of GitHub's webhooks: stored first, looked at afterwards, kept for seven days.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{InstallationId, RunnerId, WebhookEvent, WebhookSource, WorkflowMark};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Result, StoreError,
    jobs::seconds,
    readable::{keep_readable, read_exactly},
};

/// A delivery that failed this often is not looked at again.
const MAX_ATTEMPTS: i32 = 5;

/// The webhook deliveries, on one connection.
#[derive(Debug)]
pub struct Webhooks<'c>(pub(crate) &'c mut PgConnection);

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxState {
    /// To be looked at.
    Pending,
    /// It changed something.
    Processed,
    /// It changed nothing.
    Ignored,
    /// It could not be understood.
    Failed,
}

impl InboxState {
    /// The word stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processed => "processed",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }
}

/// A delivery that has just come.
#[derive(Clone, Debug)]
pub struct NewDelivery<'a> {
    /// GitHub's id of the event, the same on redelivery.
    pub id: Uuid,
    /// The event.
    pub event: &'a str,
    /// Its action.
    pub action: Option<&'a str>,
    /// Where it says it comes from.
    pub whose: &'a WebhookSource,
    /// The installations whose secret signed it.
    pub signed_for: &'a [InstallationId],
    /// What it says; none is stored as final at once.
    pub notice: Option<&'a WebhookEvent>,
    /// Where it stands.
    pub state: InboxState,
    /// Why it stands there.
    pub note: Option<&'a str>,
}

/// A delivery to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its id.
    pub id: Uuid,
    /// Where it says it comes from.
    pub whose: WebhookSource,
    /// The installations whose secret signed it; empty when that was not noted.
    pub signed_for: Vec<InstallationId>,
    /// What it says.
    pub notice: WebhookEvent,
    /// When it came.
    pub received_at: DateTime<Utc>,
}

/// What comes out of the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// One to be looked at, locked until the end of the transaction.
    Pending(Box<Pending>),
    /// One that cannot be read, locked as well.
    Unreadable(Uuid),
}

/// The runner of a workflow job, locked until the end of the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Our id of it.
    pub runner: RunnerId,
    /// The newest workflow job seen on it.
    pub seen: Option<WorkflowMark>,
}

impl Webhooks<'_> {
    /// Stores a delivery. False: it came before.
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

    /// The oldest delivery that is due and that nobody else looks at.
    pub async fn next(&mut self) -> Result<Option<Next>> {
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
                return Next::Unreadable(row.delivery_id);
            };
            Next::Pending(Box::new(Pending {
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

    /// Notes what became of a delivery.
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

    /// Puts a delivery off after a failure, with growing gaps; after the fifth it has failed for good.
    pub async fn put_off(&mut self, id: Uuid, note: &str) -> Result<()> {
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

    /// Leaves a delivery that this version cannot read to a newer one: it is due again in `pause`, and no attempt counts.
    /// After `patience` it has failed.
    pub async fn leave(&mut self, id: Uuid, pause: TimeDelta, patience: TimeDelta, note: &str) -> Result<()> {
        sqlx::query!(
            "UPDATE webhook_inbox SET note = $2, next_at = now() + make_interval(secs => $3),
                state = CASE WHEN received_at < now() - make_interval(secs => $4) THEN 'failed' ELSE state END,
                settled_at = CASE WHEN received_at < now() - make_interval(secs => $4) THEN now() END
             WHERE delivery_id = $1 AND state = 'pending'",
            id,
            note,
            seconds(pause),
            seconds(patience),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Removes up to `most` deliveries that were settled seven days ago. Answers how many.
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

    /// The live runner a workflow job names: by GitHub's id, unless the names differ, else by its exact name, unless the
    /// ids differ.
    pub async fn runner(
        &mut self,
        installation: &InstallationId,
        github_id: Option<i64>,
        name: Option<&str>,
    ) -> Result<Option<Bound>> {
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
        Ok(row.map(|row| Bound {
            runner: row.id.into(),
            seen: row
                .workflow_job_id
                .zip(row.workflow_completed)
                .zip(row.workflow_event_at)
                .map(|((job, completed), at)| WorkflowMark { job, completed, at }),
        }))
    }

    /// The deleted runner a workflow job names, by GitHub's id and its exact name: the event came after its runner's end.
    pub async fn gone(
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

    /// Notes the newest workflow job of a runner.
    pub async fn mark(&mut self, runner: RunnerId, mark: &WorkflowMark) -> Result<()> {
        sqlx::query!(
            "UPDATE runners SET workflow_job_id = $2, workflow_completed = $3, workflow_event_at = $4
             WHERE id = $1 AND status <> 'deleted'",
            runner.uuid(),
            mark.job,
            mark.completed,
            mark.at,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }
}

/// How many alarms about wrong signatures one minute holds at most, from all addresses together.
const ALARMS: i64 = 30;

impl Webhooks<'_> {
    /// Writes a security event about a wrong signature, unless there is one of this minute from the same address, or
    /// there are too many from others. False: none was written.
    pub async fn alarm_unsigned(&mut self, from: &str, details: &serde_json::Value) -> Result<bool> {
        let done = sqlx::query!(
            "WITH recent AS (
                SELECT violation_data ->> 'address' AS address FROM security_events
                WHERE event_type = 'webhook_signature_invalid' AND \"timestamp\" > now() - interval '1 minute'
                ORDER BY id DESC LIMIT $4)
             INSERT INTO security_events (id, event_type, severity, violation_data, action_taken)
             SELECT $1, 'webhook_signature_invalid', 'high', $2, 'refused'
             WHERE NOT EXISTS (SELECT FROM recent WHERE address = $3) AND (SELECT count(*) FROM recent) < $4",
            Uuid::now_v7(),
            details,
            from,
            ALARMS,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
