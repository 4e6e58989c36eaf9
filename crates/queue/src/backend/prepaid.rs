//! State of the request that a claim paid for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether the request that a claim paid for was sent. If not, the budget gets its cost back when the job ends. Clones
/// share the state.
#[derive(Clone, Debug, Default)]
pub struct PrepaidRequest {
    unused: Arc<AtomicBool>,
}

impl PrepaidRequest {
    /// Marks the request as not sent.
    pub fn mark_unused(&self) {
        self.unused.store(true, Ordering::Relaxed);
    }

    /// Marks the request as sent. Must be called just before it is sent.
    pub fn mark_used(&self) {
        self.unused.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_unused(&self) -> bool {
        self.unused.load(Ordering::Relaxed)
    }
}
