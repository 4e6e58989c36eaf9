//! The request a claim has paid for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether the request that a claim paid for was made. The budget gets its price back at the end of a job that said it
/// was not. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub struct PrepaidRequest {
    unused: Arc<AtomicBool>,
}

impl PrepaidRequest {
    /// The request has not been sent so far.
    pub fn mark_unused(&self) {
        self.unused.store(true, Ordering::Relaxed);
    }

    /// The request is about to be sent.
    pub fn mark_used(&self) {
        self.unused.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_unused(&self) -> bool {
        self.unused.load(Ordering::Relaxed)
    }
}
