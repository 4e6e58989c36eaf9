//! Callers that disconnect and leases that are lost: work in progress ends cleanly.

use std::time::Duration;

use harness::{World, wait_until};
use tokio::time::timeout;

#[tokio::test]
async fn transaction_dropped_at_begin_leaves_its_connection_clean() {
    let world = World::builder().workers(0).start().await;
    // Each step aborts at another point: before, during or after the database operation.
    for step in 0..400 {
        let _ = timeout(Duration::from_micros(5 * step), world.store().begin()).await;
    }
    wait_until("no connection is left in a transaction", || async {
        let open = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'idle in transaction'";
        world.count(open).await == 0
    })
    .await;
}
