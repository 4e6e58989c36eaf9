//! Keeps the leases alive, in a task of its own: neither a busy handler nor a slow settle delays it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Dispatcher, lease_table::LeaseTable};
use crate::{Lease, Queue, QueueError};

/// Renews every third of a lease; what could not be renewed for 80 % of one is given up. Runs until dropped.
pub(super) async fn renew(queue: Queue, held: Arc<LeaseTable>, lease: Duration, shown: Dispatcher) {
    let give_up = lease.mul_f64(0.8);
    let mut due = Instant::now() + lease / 3;
    loop {
        shown.renewer().tick();
        let end = held.cut_off(give_up);
        let wake = end.map_or(due, |end| end.min(due));
        sleep_until(wake).await;
        let began = Instant::now();
        if began < due {
            continue;
        }
        let until = held.cut_off(give_up).unwrap_or(began + give_up);
        due = match timeout_at(until, renew_all(&queue, &held, lease)).await {
            Ok(Ok(())) => began + lease / 3,
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "leases not renewed, trying again");
                Instant::now() + lease / 15
            }
            Err(_) => Instant::now() + lease / 15,
        };
    }
}

async fn renew_all(queue: &Queue, held: &LeaseTable, lease: Duration) -> Result<(), QueueError> {
    let _gate = held.gate.lock().await;
    let leases = held.owned();
    if leases.is_empty() {
        return Ok(());
    }
    let since = Instant::now();
    let lost = queue.extend(&leases.iter().collect::<Vec<_>>(), lease).await?;
    let (gone, kept): (Vec<Lease>, Vec<Lease>) =
        leases.into_iter().partition(|lease| lost.contains(&lease.job));
    held.renewed(&kept, since);
    for lease in &gone {
        held.mark_lost(lease);
    }
    Ok(())
}
