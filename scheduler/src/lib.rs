//! When: because time passed. One promise, one file; each step is idempotent and bounded, so any number of schedulers
//! may take it at once.

mod beats;
pub mod depth;
pub mod expire;
pub mod reap;
pub mod shred;
pub mod sweep;

use std::time::Duration;

use queue::{QueueError, Spine};
use runtime::{
    health::Progress,
    shutdown::{Backoff, Shutdown, TaskGroup},
};
use store::{Store, StoreError};

/// Everything a scheduler is made of, put together by the process that runs it.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The truth.
    pub store: Store,
    /// The queue that is kept in line with it.
    pub spine: Spine,
    /// Whether the process's loops still move.
    pub progress: Progress,
}

/// Why a step was not taken; the next tick takes it again.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The database.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// The queue.
    #[error("the queue did not do it")]
    Queue(#[from] QueueError),
}

/// Runs every step at its own pace until `shutdown` drains.
///
/// # Errors
/// When a step's loop will not end.
pub async fn run(parts: Parts, shutdown: Shutdown) -> anyhow::Result<()> {
    let group = TaskGroup::new(shutdown);
    let draining = group.shutdown().draining().clone();
    macro_rules! every {
        ($seconds:literal, $name:literal, $step:expr) => {{
            let (parts, draining) = (parts.clone(), draining.clone());
            group.supervise($name, Backoff::default(), move || {
                beats::every(Duration::from_secs($seconds), $name, (parts.clone(), draining.clone()), $step)
            });
        }};
    }
    every!(5, "expire", expire::run);
    every!(5, "reap", reap::run);
    every!(5, "depth", depth::run);
    every!(10, "shred", shred::run);
    every!(3600, "forget", shred::forget);
    let swept = (parts.clone(), draining.clone());
    group.supervise("sweep", Backoff::default(), move || sweep::keep(swept.0.clone(), swept.1.clone()));
    let stuck = group.wait().await;
    anyhow::ensure!(stuck.is_empty(), "these loops did not end: {}", stuck.join(", "));
    Ok(())
}
