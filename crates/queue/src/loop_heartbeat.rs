//! Signs of life of the loops in here.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

use crate::queue::millis;

/// When a loop last went round, or was made.
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
