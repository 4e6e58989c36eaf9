//! Second deliveries of events that were put aside, when an admin asks for them. They keep no order.

use store::{DeliveryOutcome, DeliveryRow};

use super::{SinkTurn, jitter, message, sender::Failure};
use crate::StepError;

/// Most events that one step sends again.
const MAX_AGAIN: i64 = 20;

/// One step's second deliveries to one sink.
pub(super) struct SecondDeliveries<'s>(pub(super) &'s SinkTurn<'s>);

impl SecondDeliveries<'_> {
    /// Sends queued events that are due. Returns the number of deliveries.
    pub(super) async fn deliver(self) -> Result<u64, StepError> {
        let turn = self.0;
        let due = turn.parts.store.conn().await?.event_deliveries().due(&turn.sink.name, MAX_AGAIN).await?;
        let mut delivered = 0;
        for event in due {
            if turn.is_over() {
                break;
            }
            let sent = self.send(&event).await?;
            delivered += u64::from(sent.is_ok());
            self.settle(&event, sent).await?;
        }
        Ok(delivered)
    }

    async fn send(&self, event: &DeliveryRow) -> Result<Result<(), Failure>, StepError> {
        let turn = self.0;
        let mut conn = turn.parts.store.conn().await?;
        let found = message::read(&mut conn, turn.source, event.chain, &[event.event_id]).await?;
        drop(conn);
        Ok(match found.first() {
            Some(message) => {
                turn.sender.send(&turn.sink.url, &turn.keys, message, turn.now().timestamp()).await
            }
            None => Err(Failure { refused: true, ..Failure::without_request(REMOVED) }),
        })
    }

    async fn settle(&self, event: &DeliveryRow, sent: Result<(), Failure>) -> Result<(), StepError> {
        let turn = self.0;
        let failure = sent.err();
        let outcome = match &failure {
            None => DeliveryOutcome::Delivered,
            Some(Failure { status, reason, .. })
                if event.attempts + 1 >= turn.limits.max_refusals || reason == REMOVED =>
            {
                DeliveryOutcome::Dead { status: *status, error: reason }
            }
            Some(Failure { status, reason, .. }) => {
                let pause = turn.limits.pause(event.attempts + 1, jitter());
                DeliveryOutcome::Again { status: *status, error: reason, pause }
            }
        };
        turn.count(match outcome {
            DeliveryOutcome::Delivered => "delivered",
            DeliveryOutcome::Again { .. } => "failed",
            DeliveryOutcome::Dead { .. } => "dead",
        });
        Ok(turn.parts.store.conn().await?.event_deliveries().settle(event, &outcome).await?)
    }
}

/// Reason of an event whose row has been removed.
const REMOVED: &str = "the retention has removed the row";
