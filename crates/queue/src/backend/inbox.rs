//! Claimed jobs on their way to the handlers.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::task::AtomicWaker;

use super::Claimed;

/// Claimed jobs that apalis has not started. At shutdown the dispatcher takes them back.
#[derive(Default)]
pub(super) struct Inbox {
    jobs: Mutex<VecDeque<Claimed>>,
    waker: AtomicWaker,
}

impl Inbox {
    pub(super) fn put(&self, job: Claimed) {
        self.lock().push_back(job);
        self.waker.wake();
    }

    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Claimed> {
        if let Some(job) = self.lock().pop_front() {
            return Poll::Ready(job);
        }
        self.waker.register(cx.waker());
        self.lock().pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    /// Removes and returns the jobs that apalis has not started.
    pub(super) fn take_back(&self) -> VecDeque<Claimed> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Claimed>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
