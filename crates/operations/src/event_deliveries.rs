//! Second deliveries of events that were put aside for a sink.

use domain::{EventDeliveryId, Problem};
use serde_json::json;
use store::DeliveryRow;

use crate::{Administrator, Operations, Result, validate::check_reason};

impl Operations<'_> {
    /// Queues an event that was put aside, so that the leading scheduler sends it again. One that is queued already stays
    /// as it is, and no audit row is written then.
    ///
    /// # Errors
    /// `not_found`; `validation_failed` for the reason; database errors.
    pub async fn retry_event_delivery(
        &self,
        admin: &Administrator,
        id: EventDeliveryId,
        reason: Option<&str>,
    ) -> Result<DeliveryRow> {
        check_reason("/reason", reason)?;
        let mut tx = self.store.begin().await?;
        let queued = tx.event_deliveries().queue(id).await?;
        let delivery = tx.event_deliveries().get(id).await?;
        let delivery = delivery.ok_or_else(|| Problem::not_found("event delivery"))?;
        if queued {
            let details = json!({
                "delivery": id,
                "sink": delivery.sink,
                "event": delivery.event_id,
                "event_type": delivery.event_type,
                "reason": reason,
            });
            tx.audit().write(&admin.record("event_delivery.retry", None, details)).await?;
        }
        tx.commit().await?;
        Ok(delivery)
    }
}
