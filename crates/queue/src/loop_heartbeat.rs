//! Heartbeats of this crate's background loops.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

use crate::queue::millis;

/// Time of a loop's last iteration, or of its start.
#[derive(Debug)]
pub(crate) struct LoopHeartbeat {
    born: Instant,
    turned: AtomicU64,
}

impl Default for LoopHeartbeat {
    fn default() -> Self {
        Self { born: Instant::now(), turned: AtomicU64::new(0) }
    }
}

impl LoopHeartbeat {
    pub(crate) fn tick(&self) {
        self.turned.store(millis(self.born.elapsed()), Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> Instant {
        self.born + Duration::from_millis(self.turned.load(Ordering::Relaxed))
    }
}
