//! Steps that move jobs on: expiry, lost leases, orphans of calls.

pub(crate) mod enqueue;
pub mod expire;
pub mod reap;
pub mod requeue;
