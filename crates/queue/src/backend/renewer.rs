//! Renewal of leases in a task of its own, so that neither a busy handler nor a slow settlement delays it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Dispatcher, lease_table::LeaseTable};
use crate::{Lease, Queue, QueueError};

/// Renews every third of a lease and gives up a lease not renewed for 80 % of its duration. Runs until dropped.
pub(super) async fn renew(queue: Queue, table: Arc<LeaseTable>, lease: Duration, dispatcher: Dispatcher) {
    let give_up = lease.mul_f64(0.8);
    let mut due = Instant::now() + lease / 3;
    loop {
        dispatcher.renewer().tick();
        let end = table.cancel_unrenewed(give_up);
        let wake = end.map_or(due, |end| end.min(due));
        sleep_until(wake).await;
        let began = Instant::now();
        if began < due {
            continue;
        }
        let until = table.cancel_unrenewed(give_up).unwrap_or(began + give_up);
        due = match timeout_at(until, renew_all(&queue, &table, lease)).await {
            Ok(Ok(())) => began + lease / 3,
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Leases could not be renewed; trying again"
                );
                Instant::now() + lease / 15
            }
            Err(_) => Instant::now() + lease / 15,
        };
    }
}

async fn renew_all(queue: &Queue, table: &LeaseTable, lease: Duration) -> Result<(), QueueError> {
    let _settle_lock = table.settle_lock.lock().await;
    let leases = table.owned();
    if leases.is_empty() {
        return Ok(());
    }
    let since = Instant::now();
    let lost = queue.extend(&leases.iter().collect::<Vec<_>>(), lease).await?;
    let (gone, kept): (Vec<Lease>, Vec<Lease>) =
        leases.into_iter().partition(|lease| lost.contains(&lease.job));
    table.renewed(&kept, since);
    for lease in &gone {
        table.mark_lost(lease);
    }
    Ok(())
}
