//! Events that were put aside after too many failed attempts, and their second deliveries.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{AuditChain, EventDeliveryId, EventDeliveryState};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Listed, MAX_TOTAL, Page, Result, StoreError, StreamName, jobs::seconds};

/// Queries of put-aside events on one connection.
#[derive(Debug)]
pub struct EventDeliveries<'c>(pub(crate) &'c mut PgConnection);

/// A put-aside event as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Id of the delivery.
    pub id: EventDeliveryId,
    /// Name of the sink.
    pub sink: String,
    /// Chain of the row.
    pub chain: AuditChain,
    /// Id of the row.
    pub event_id: Uuid,
    /// Event type of the row.
    pub event_type: String,
    /// State.
    pub state: EventDeliveryState,
    /// Attempts since the event was put aside or queued.
    pub attempts: i32,
    /// Status of the last failure; `None` if there was no answer.
    pub last_status: Option<i32>,
    /// Reason of the last failure.
    pub last_error: Option<String>,
    /// Time at which the event was put aside.
    pub created_at: DateTime<Utc>,
    /// Time of the next attempt of a queued one.
    pub next_at: DateTime<Utc>,
    /// Time of the last change of the state.
    pub settled_at: DateTime<Utc>,
}

/// Filter of a list of put-aside events.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only in this state.
    pub state: Option<EventDeliveryState>,
    /// Only of this sink.
    pub sink: Option<String>,
}

/// An event to put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeadDelivery<'d> {
    /// Stream of the event.
    pub name: StreamName<'d>,
    /// Id of the row.
    pub event_id: Uuid,
    /// Event type of the row.
    pub event_type: &'d str,
    /// Number of failed attempts that count.
    pub attempts: i32,
    /// Status of the last failure; `None` if there was no answer.
    pub status: Option<u16>,
    /// Reason of the last failure.
    pub error: &'d str,
}

/// Outcome of an attempt to deliver a queued event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome<'o> {
    /// The sink accepted it.
    Delivered,
    /// It failed and is tried again after a pause.
    Again {
        /// Status of the answer; `None` if there was none.
        status: Option<u16>,
        /// Reason.
        error: &'o str,
        /// Time until the next attempt.
        pause: TimeDelta,
    },
    /// It failed for the last time.
    Dead {
        /// Status of the answer; `None` if there was none.
        status: Option<u16>,
        /// Reason.
        error: &'o str,
    },
}

impl EventDeliveries<'_> {
    /// Puts an event aside. One that was put aside before is dead again.
    pub async fn put_aside(&mut self, dead: &NewDeadDelivery<'_>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO event_deliveries (id, sink, chain, event_id, event_type, attempts, last_status, last_error)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (sink, chain, event_id) DO UPDATE SET state = 'dead', attempts = EXCLUDED.attempts,
                last_status = EXCLUDED.last_status, last_error = EXCLUDED.last_error, settled_at = now()",
            EventDeliveryId::new().uuid(),
            dead.name.sink,
            dead.name.chain.as_str(),
            dead.event_id,
            dead.event_type,
            dead.attempts,
            dead.status.map(i32::from),
            dead.error,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns one page of put-aside events, newest first.
    pub async fn list(&mut self, filter: &DeliveryFilter, page: Page) -> Result<Listed<DeliveryRow>> {
        let state = filter.state.map(EventDeliveryState::as_str);
        let rows = sqlx::query_as!(
            StoredDelivery,
            "SELECT id, sink, chain, event_id, event_type, state, attempts, last_status, last_error, created_at, next_at,
                settled_at
             FROM event_deliveries
             WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR sink = $2) AND ($3::uuid IS NULL OR id < $3)
             ORDER BY id DESC LIMIT $4 OFFSET $5",
            state,
            filter.sink,
            page.before,
            page.limit,
            page.offset,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let counted = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM (SELECT FROM event_deliveries
             WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR sink = $2) LIMIT $3) counted"#,
            state,
            filter.sink,
            MAX_TOTAL + 1,
        )
        .fetch_one(&mut *self.0)
        .await?;
        let next = page.next(rows.len(), 0, rows.last().map(|last| last.id));
        let items = rows.into_iter().map(StoredDelivery::into_row).collect::<Result<_>>()?;
        Ok(Listed::bounded(items, counted, next))
    }

    /// Returns the number of dead events of each sink.
    pub async fn count_dead(&mut self) -> Result<Vec<(String, i64)>> {
        let rows = sqlx::query!(
            r#"SELECT sink, count(*) AS "count!" FROM event_deliveries WHERE state = 'dead' GROUP BY sink LIMIT 1000"#
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(|row| (row.sink, row.count)).collect())
    }

    /// Queues an event to be sent again at once; its attempts count anew. Returns `false` if it is queued already, or if
    /// there is none with this id.
    pub async fn queue(&mut self, id: EventDeliveryId) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE event_deliveries SET state = 'queued', attempts = 0, next_at = now(), settled_at = now()
             WHERE id = $1 AND state <> 'queued'",
            id.uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Returns an event that was put aside.
    pub async fn get(&mut self, id: EventDeliveryId) -> Result<Option<DeliveryRow>> {
        let row = sqlx::query_as!(
            StoredDelivery,
            "SELECT id, sink, chain, event_id, event_type, state, attempts, last_status, last_error, created_at, next_at,
                settled_at
             FROM event_deliveries WHERE id = $1",
            id.uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        row.map(StoredDelivery::into_row).transpose()
    }

    /// Returns up to `limit` queued events of a sink that are due, oldest first.
    pub async fn due(&mut self, sink: &str, limit: i64) -> Result<Vec<DeliveryRow>> {
        let rows = sqlx::query_as!(
            StoredDelivery,
            "SELECT id, sink, chain, event_id, event_type, state, attempts, last_status, last_error, created_at, next_at,
                settled_at
             FROM event_deliveries WHERE sink = $1 AND state = 'queued' AND next_at <= now() ORDER BY next_at LIMIT $2",
            sink,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(StoredDelivery::into_row).collect()
    }

    /// Records the outcome of an attempt, unless another scheduler has recorded one.
    pub async fn settle(&mut self, seen: &DeliveryRow, outcome: &DeliveryOutcome<'_>) -> Result<()> {
        let (state, status, error, pause) = match outcome {
            DeliveryOutcome::Delivered => (EventDeliveryState::Delivered, None, None, TimeDelta::zero()),
            DeliveryOutcome::Again { status, error, pause } => {
                (EventDeliveryState::Queued, *status, Some(*error), *pause)
            }
            DeliveryOutcome::Dead { status, error } => {
                (EventDeliveryState::Dead, *status, Some(*error), TimeDelta::zero())
            }
        };
        sqlx::query!(
            "UPDATE event_deliveries SET state = $3, attempts = attempts + 1, last_status = $4, last_error = $5,
                next_at = now() + make_interval(secs => $6), settled_at = now()
             WHERE id = $1 AND state = 'queued' AND attempts = $2",
            seen.id.uuid(),
            seen.attempts,
            state.as_str(),
            status.map(i32::from),
            error,
            seconds(pause),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Deletes up to `limit` put-aside events whose state has not changed for `age`. Returns how many.
    pub async fn forget(&mut self, age: TimeDelta, limit: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM event_deliveries WHERE id IN (
                SELECT id FROM event_deliveries WHERE settled_at < now() - make_interval(secs => $1)
                ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            seconds(age),
            limit,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}

/// A row of `event_deliveries`.
struct StoredDelivery {
    id: Uuid,
    sink: String,
    chain: String,
    event_id: Uuid,
    event_type: String,
    state: String,
    attempts: i32,
    last_status: Option<i32>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    next_at: DateTime<Utc>,
    settled_at: DateTime<Utc>,
}

impl StoredDelivery {
    fn into_row(self) -> Result<DeliveryRow> {
        Ok(DeliveryRow {
            id: self.id.into(),
            sink: self.sink,
            chain: self.chain.parse().map_err(StoreError::inconsistent)?,
            event_id: self.event_id,
            event_type: self.event_type,
            state: self.state.parse().map_err(StoreError::inconsistent)?,
            attempts: self.attempts,
            last_status: self.last_status,
            last_error: self.last_error,
            created_at: self.created_at,
            next_at: self.next_at,
            settled_at: self.settled_at,
        })
    }
}
