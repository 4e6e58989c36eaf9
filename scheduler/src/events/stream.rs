//! One stream: the rows of one chain for one sink, one after the other.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{AuditChain, AuditEntry, ChainPlace, SecurityEvent, Severity};
use serde_json::json;
use store::{ChainRange, NewDeadDelivery, RemovedRows, StreamFailure, StreamName, StreamRow};
use uuid::Uuid;

use super::{
    SinkTurn, jitter,
    message::{self, Message},
    sender::Failure,
};
use crate::StepError;

/// Most rows that are read at once.
const MAX_ROWS: i64 = 100;

/// One step's work on one stream.
pub(super) struct Stream<'s> {
    turn: &'s SinkTurn<'s>,
    name: StreamName<'s>,
}

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    /// The next event failed, the time is over, or another scheduler has moved the stream.
    Stop,
}

impl<'s> Stream<'s> {
    pub(super) fn new(turn: &'s SinkTurn<'s>, chain: AuditChain) -> Self {
        Self { turn, name: StreamName { sink: &turn.sink.name, chain } }
    }

    /// Delivers the rows that are final, in order, until one fails. Returns the number of deliveries.
    pub(super) async fn deliver(self) -> Result<u64, StepError> {
        let store = &self.turn.parts.store;
        let mut conn = store.conn().await?;
        let running = conn.audit_chains().running().await?;
        let through = ChainPlace::below(running.oldest);
        let mut stream = conn.event_streams().open(self.name, through).await?;
        drop(conn);
        if stream.next_at > self.turn.now() {
            self.show_lag(stream.waiting_since);
            return Ok(0);
        }
        if let Some(place) = self.skip_removed(stream.place).await? {
            stream.place = place;
        }
        let mut delivered = 0;
        loop {
            let mut conn = store.conn().await?;
            let filter = &self.turn.sink.filter;
            let range = ChainRange { after: stream.place, through };
            let window = conn.event_streams().window(self.name.chain, range, filter, MAX_ROWS).await?;
            let ids: Vec<Uuid> = window.wanted.iter().map(|place| place.id).collect();
            let messages = message::read(&mut conn, self.turn.source, self.name.chain, &ids).await?;
            drop(conn);
            let Some(end) = window.end else {
                self.show_lag(None);
                return Ok(delivered);
            };
            for place in window.wanted {
                // A row that was removed meanwhile is passed over.
                let Some(message) = messages.iter().find(|message| message.id == place.id) else { continue };
                self.show_lag(Some(message.time));
                if self.turn.is_over() {
                    return Ok(delivered);
                }
                let accepted = self.send(message).await;
                delivered += u64::from(accepted.is_ok());
                if self.settle(&mut stream, place, message, accepted).await? == Then::Stop {
                    return Ok(delivered);
                }
            }
            if end != stream.place && !self.advance(&mut stream, end, false).await? {
                return Ok(delivered);
            }
        }
    }

    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let turn = self.turn;
        turn.sender.send(&turn.sink.url, &turn.keys, message, turn.now().timestamp()).await
    }

    /// Records the outcome of a delivery.
    async fn settle(
        &self,
        stream: &mut StreamRow,
        place: ChainPlace,
        message: &Message,
        outcome: Result<(), Failure>,
    ) -> Result<Then, StepError> {
        let Err(failure) = outcome else {
            self.turn.count("delivered");
            let moved = self.advance(stream, place, true).await?;
            return Ok(if moved { Then::GoOn } else { Then::Stop });
        };
        let limits = self.turn.limits;
        let refusals = stream.refusals + i32::from(failure.refused);
        let failing_for = stream.failing_since.map_or(TimeDelta::zero(), |since| self.turn.now() - since);
        let (sink, chain) = (self.name.sink, self.name.chain);
        if refusals >= limits.max_refusals || failing_for >= limits.max_absence {
            tracing::warn!(
                sink, %chain, event = %message.id, reason = failure.reason, status = failure.status,
                "an event was put aside; send it again with `rts event-delivery retry`"
            );
            self.turn.count("dead");
            let put_aside = self.put_aside(stream, place, message, &failure, refusals).await?;
            return Ok(if put_aside { Then::GoOn } else { Then::Stop });
        }
        self.turn.count("failed");
        let failures =
            if failure.refused { refusals } else { away_failures(failing_for, limits.first_pause) };
        let pause = limits.pause(failures, jitter());
        let asked = failure.retry_after.and_then(|time| TimeDelta::from_std(time).ok());
        let pause = pause.max(asked.unwrap_or_default());
        tracing::warn!(
            sink, %chain, event = %message.id, reason = failure.reason, status = failure.status,
            seconds = pause.num_seconds(), "an event could not be delivered; it is tried again"
        );
        let failed = StreamFailure {
            refused: failure.refused,
            status: failure.status,
            error: &failure.reason,
            pause,
            waiting_since: message.time,
        };
        let mut conn = self.turn.parts.store.conn().await?;
        conn.event_streams().fail(self.name, stream.place, &failed).await?;
        Ok(Then::Stop)
    }

    /// Moves the stream. Returns `false` if another scheduler has moved it.
    async fn advance(
        &self,
        stream: &mut StreamRow,
        to: ChainPlace,
        delivered: bool,
    ) -> Result<bool, StepError> {
        let mut conn = self.turn.parts.store.conn().await?;
        let moved = conn.event_streams().advance(self.name, stream.place, to, delivered).await?;
        if moved {
            stream.move_to(to);
        }
        Ok(moved)
    }

    /// Puts an event aside and moves the stream past it, in one transaction.
    async fn put_aside(
        &self,
        stream: &mut StreamRow,
        place: ChainPlace,
        message: &Message,
        failure: &Failure,
        refusals: i32,
    ) -> Result<bool, StepError> {
        let dead = NewDeadDelivery {
            name: self.name,
            event_id: message.id,
            event_type: &message.event_type,
            attempts: refusals,
            status: failure.status,
            error: &failure.reason,
        };
        let mut tx = self.turn.parts.store.begin().await?;
        if !tx.event_streams().advance(self.name, stream.place, place, false).await? {
            return Ok(false);
        }
        tx.event_deliveries().put_aside(&dead).await?;
        tx.commit().await?;
        stream.move_to(place);
        Ok(true)
    }

    /// Passes over rows that retention may have removed before the sink got them, and says so in a security event.
    async fn skip_removed(&self, place: ChainPlace) -> Result<Option<ChainPlace>, StepError> {
        let store = &self.turn.parts.store;
        let removed = store.conn().await?.event_streams().removed_after(self.name.chain, place).await?;
        let Some(RemovedRows { through, newest }) = removed else { return Ok(None) };
        let mut tx = store.begin().await?;
        if !tx.event_streams().advance(self.name, place, through, false).await? {
            return Ok(None);
        }
        let (sink, chain) = (self.name.sink, self.name.chain);
        tracing::error!(sink, %chain, %newest, "the retention has removed rows that the sink did not get");
        let data = json!({ "sink": sink, "chain": chain, "removed_until": newest });
        let entry = AuditEntry { data, ..AuditEntry::service("event_sink.skip") };
        let event = SecurityEvent {
            event_type: "event_sink_skipped",
            severity: Severity::High,
            action_taken: "none",
        };
        tx.audit().alarm(&event, &entry).await?;
        tx.commit().await?;
        Ok(Some(through))
    }

    /// Shows the age of the oldest event that waits.
    #[expect(clippy::cast_precision_loss, reason = "an age in milliseconds fits a float")]
    fn show_lag(&self, oldest: Option<DateTime<Utc>>) {
        let lag =
            oldest.map_or(0.0, |time| (self.turn.now() - time).num_milliseconds().max(0) as f64 / 1000.0);
        let labels = [("sink", self.name.sink.to_owned()), ("chain", self.name.chain.to_string())];
        metrics::gauge!("rts_event_lag_seconds", &labels).set(lag);
    }
}

/// Returns the number of the failure of a sink that has been away for some time, as its doubling pauses count it.
fn away_failures(failing_for: TimeDelta, first_pause: std::time::Duration) -> i32 {
    let pauses = failing_for.num_milliseconds().max(0)
        / i64::try_from(first_pause.as_millis()).unwrap_or(i64::MAX).max(1);
    i32::try_from((pauses + 1).ilog2() + 1).unwrap_or(i32::MAX)
}
