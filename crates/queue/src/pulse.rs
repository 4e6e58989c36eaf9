//! Signs of life of the loops in here.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

use crate::spine::millis;

/// When a loop last went round, or was made.
#[derive(Debug)]
pub(crate) struct Pulse {
    born: Instant,
    turned: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { born: Instant::now(), turned: AtomicU64::new(0) }
    }
}

impl Pulse {
    pub(crate) fn turn(&self) {
        self.turned.store(millis(self.born.elapsed()), Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> Instant {
        self.born + Duration::from_millis(self.turned.load(Ordering::Relaxed))
    }
}
