//! Steps that keep jobs moving: expiry, requeueing, restored pauses, lookups of orphans, and counts.

pub mod batches;
pub mod depths;
pub(crate) mod enqueue;
pub mod expire;
pub mod flow;
pub mod pauses;
pub mod reap;
pub mod requeue;
