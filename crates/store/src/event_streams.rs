//! Streams of events: how far each sink has each chain, and the rows that come next.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{AuditChain, ChainPlace, EventFilter};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{ChainRange, Result, StoreError, jobs::seconds};

/// Most rows of a chain that one read examines.
const MAX_EXAMINED: i64 = 5_000;
/// Time after which a stream whose sink is in no settings is forgotten.
const FORGET_AFTER: TimeDelta = TimeDelta::days(7);

/// Queries of the streams of events on one connection.
#[derive(Debug)]
pub struct EventStreams<'c>(pub(crate) &'c mut PgConnection);

/// Name of a stream: a sink and a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamName<'n> {
    /// Name of the sink.
    pub sink: &'n str,
    /// Chain of the rows.
    pub chain: AuditChain,
}

/// A stream as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// Name of the sink.
    pub sink: String,
    /// Chain of the rows.
    pub chain: AuditChain,
    /// Place of the last row that was delivered, put aside or not wanted.
    pub place: ChainPlace,
    /// How often the sink has refused the next event.
    pub refusals: i32,
    /// Time since which the next event fails.
    pub failing_since: Option<DateTime<Utc>>,
    /// Time of the next attempt.
    pub next_at: DateTime<Utc>,
    /// Time of the event that fails.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Status of the last failure; `None` if there was no answer.
    pub last_status: Option<i32>,
    /// Reason of the last failure.
    pub last_error: Option<String>,
    /// Time of the last delivery.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Time at which the sink was last in the settings, give or take an hour.
    pub seen_at: DateTime<Utc>,
}

/// A part of a chain that a sink has not got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventWindow {
    /// Places of the rows that the sink wants, in order.
    pub wanted: Vec<ChainPlace>,
    /// Last place of the part; `None` if there is no row.
    pub end: Option<ChainPlace>,
}

/// A failed attempt to deliver the next event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFailure<'f> {
    /// Whether the sink refused the event, instead of being away.
    pub refused: bool,
    /// Status of the answer; `None` if there was none.
    pub status: Option<u16>,
    /// Reason.
    pub error: &'f str,
    /// Time until the next attempt.
    pub pause: TimeDelta,
    /// Time of the event.
    pub waiting_since: DateTime<Utc>,
}

/// Rows that a sink can no longer get, because retention may have removed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedRows {
    /// Place of the last of them.
    pub through: ChainPlace,
    /// Time of the newest of them.
    pub newest: DateTime<Utc>,
}

/// Up to `$limit` rows of a part of a chained table that fit `$wanted`, and the last row that was examined. `$columns` are
/// those that `$wanted` names.
macro_rules! window_rows {
    ($table:tt, $columns:tt, $wanted:tt, $range:expr, $limit:expr $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            WindowRow,
            "WITH part AS (
                SELECT transaction_id, id, " + $columns + " FROM " + $table + r#"
                WHERE (transaction_id, id) > ($1::bigint::text::xid8, $2)
                    AND (transaction_id, id) <= ($3::bigint::text::xid8, $4)
                ORDER BY transaction_id, id LIMIT $5
             )
             (SELECT transaction_id::text::bigint AS "transaction!", id AS "id!", true AS "wanted!" FROM part
                WHERE "# + $wanted + "
                ORDER BY transaction_id, id LIMIT $6)
             UNION ALL
             (SELECT transaction_id::text::bigint, id, false FROM part ORDER BY transaction_id DESC, id DESC LIMIT 1)",
            $range.after.transaction,
            $range.after.id,
            $range.through.transaction,
            $range.through.id,
            MAX_EXAMINED,
            $limit
            $(, $arg)*
        )
    };
}

impl StreamRow {
    /// Moves the row as the queries move the stream: the next event has not failed yet.
    pub fn move_to(&mut self, place: ChainPlace) {
        (self.place, self.refusals, self.failing_since) = (place, 0, None);
    }
}

impl EventStreams<'_> {
    /// Returns a stream. One that is new begins at `start`.
    pub async fn open(&mut self, name: StreamName<'_>, start: ChainPlace) -> Result<StreamRow> {
        sqlx::query!(
            "INSERT INTO event_streams (sink, chain, last_transaction, last_id)
             SELECT $1, $2, $3::bigint::text::xid8, $4
             WHERE NOT EXISTS (SELECT FROM event_streams WHERE sink = $1 AND chain = $2)
             ON CONFLICT (sink, chain) DO NOTHING",
            name.sink,
            name.chain.as_str(),
            start.transaction,
            start.id,
        )
        .execute(&mut *self.0)
        .await?;
        sqlx::query!(
            "UPDATE event_streams SET seen_at = now()
             WHERE sink = $1 AND chain = $2 AND seen_at < now() - interval '1 hour'",
            name.sink,
            name.chain.as_str(),
        )
        .execute(&mut *self.0)
        .await?;
        let row = self.read(Some(name)).await?.pop();
        row.ok_or_else(|| StoreError::inconsistent("a stream of events is missing"))
    }

    /// Returns all streams, by sink and chain.
    pub async fn list(&mut self) -> Result<Vec<StreamRow>> {
        self.read(None).await
    }

    async fn read(&mut self, name: Option<StreamName<'_>>) -> Result<Vec<StreamRow>> {
        let rows = sqlx::query!(
            r#"SELECT sink, chain, last_transaction::text::bigint AS "transaction!", last_id, refusals, failing_since,
                next_at, waiting_since, last_status, last_error, delivered_at, seen_at
             FROM event_streams
             WHERE $1::text IS NULL OR (sink = $1 AND chain = $2) ORDER BY sink, chain LIMIT 1000"#,
            name.map(|name| name.sink),
            name.map(|name| name.chain.as_str()),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let stream = rows.into_iter().map(|row| {
            Ok(StreamRow {
                sink: row.sink,
                chain: row.chain.parse().map_err(StoreError::inconsistent)?,
                place: ChainPlace { transaction: row.transaction, id: row.last_id },
                refusals: row.refusals,
                failing_since: row.failing_since,
                next_at: row.next_at,
                waiting_since: row.waiting_since,
                last_status: row.last_status,
                last_error: row.last_error,
                delivered_at: row.delivered_at,
                seen_at: row.seen_at,
            })
        });
        stream.collect()
    }

    /// Returns up to `limit` rows of a part of the chain that the filter wants. It examines 5,000 rows at
    /// most; the end of the window says how far.
    pub async fn window(
        &mut self,
        chain: AuditChain,
        range: ChainRange,
        filter: &EventFilter,
        limit: i64,
    ) -> Result<EventWindow> {
        let (patterns, severities) = (filter.like_patterns(), filter.severities());
        let rows = match chain {
            AuditChain::AuditLog => {
                let wanted = window_rows!(
                    "audit_log",
                    "event_type",
                    "'rts.audit.' || event_type LIKE ANY ($7)",
                    range,
                    limit,
                    &patterns
                );
                wanted.fetch_all(&mut *self.0).await?
            }
            AuditChain::SecurityEvents => {
                let wanted = window_rows!(
                    "security_events",
                    "event_type, severity",
                    "'rts.security.' || event_type LIKE ANY ($7) AND severity = ANY ($8)",
                    range,
                    limit,
                    &patterns,
                    &severities
                );
                wanted.fetch_all(&mut *self.0).await?
            }
        };
        let place = |row: &WindowRow| ChainPlace { transaction: row.transaction, id: row.id };
        let wanted: Vec<ChainPlace> = rows.iter().filter(|row| row.wanted).map(place).collect();
        let end = rows.iter().find(|row| !row.wanted).map(place);
        let is_full = i64::try_from(wanted.len()).is_ok_and(|rows| rows >= limit);
        let end = if is_full { wanted.last().copied() } else { end };
        Ok(EventWindow { wanted, end })
    }

    /// Moves a stream from one place to another, and ends the failure of its next event. Returns `false` if another
    /// scheduler has moved it.
    pub async fn advance(
        &mut self,
        name: StreamName<'_>,
        from: ChainPlace,
        to: ChainPlace,
        delivered: bool,
    ) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE event_streams SET last_transaction = $5::bigint::text::xid8, last_id = $6, refusals = 0,
                failing_since = NULL, waiting_since = NULL, last_status = NULL, last_error = NULL, next_at = now(),
                delivered_at = CASE WHEN $7 THEN now() ELSE delivered_at END
             WHERE sink = $1 AND chain = $2 AND last_transaction = $3::bigint::text::xid8 AND last_id = $4",
            name.sink,
            name.chain.as_str(),
            from.transaction,
            from.id,
            to.transaction,
            to.id,
            delivered,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Records that the next event after `from` failed.
    pub async fn fail(
        &mut self,
        name: StreamName<'_>,
        from: ChainPlace,
        failure: &StreamFailure<'_>,
    ) -> Result<()> {
        sqlx::query!(
            "UPDATE event_streams SET refusals = refusals + $5::boolean::int, failing_since = coalesce(failing_since, now()),
                last_status = $6, last_error = $7, next_at = now() + make_interval(secs => $8), waiting_since = $9
             WHERE sink = $1 AND chain = $2 AND last_transaction = $3::bigint::text::xid8 AND last_id = $4",
            name.sink,
            name.chain.as_str(),
            from.transaction,
            from.id,
            failure.refused,
            failure.status.map(i32::from),
            failure.error,
            seconds(failure.pause),
            failure.waiting_since,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns the rows after `place` that retention may have removed.
    pub async fn removed_after(
        &mut self,
        chain: AuditChain,
        place: ChainPlace,
    ) -> Result<Option<RemovedRows>> {
        let base = sqlx::query!(
            r#"SELECT base_transaction::text::bigint AS "transaction!", base_id, base_newest
             FROM audit_checkpoints WHERE chain = $1 ORDER BY day DESC LIMIT 1"#,
            chain.as_str(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let removed = base.map(|base| RemovedRows {
            through: ChainPlace { transaction: base.transaction, id: base.base_id },
            newest: base.base_newest,
        });
        Ok(removed.filter(|removed| removed.through > place))
    }

    /// Deletes streams of sinks that have been in no settings for seven days. Returns how many.
    pub async fn forget(&mut self) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM event_streams WHERE seen_at < now() - make_interval(secs => $1)",
            seconds(FORGET_AFTER),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}

/// A row that is wanted, or the last row of the window.
struct WindowRow {
    transaction: i64,
    id: Uuid,
    wanted: bool,
}
