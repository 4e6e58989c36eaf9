//! Steps that keep jobs moving: expiry, requeueing, and lookups of orphans.

pub(crate) mod enqueue;
pub mod expire;
pub mod reap;
pub mod requeue;
