//! Steps that keep jobs moving: expiry, requeueing, and lookups of orphans.

pub mod batches;
pub(crate) mod enqueue;
pub mod expire;
pub mod reap;
pub mod requeue;
