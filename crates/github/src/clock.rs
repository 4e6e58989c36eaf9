//! GitHub's clock, learned from the `Date` header of its responses.
//!
//! GitHub judges App JWTs and token lifetimes by its own clock, and a machine with a wrong clock must work all the
//! same.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// Differences up to this many seconds are latency and rounding.
const NOISE_SECONDS: i64 = 2;

/// Our clock with its difference from GitHub's.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    offset_seconds: AtomicI64,
}

impl ServerClock {
    /// Returns GitHub's time, as far as it is known.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let ours = Utc::now();
        TimeDelta::try_seconds(self.offset()).and_then(|d| ours.checked_add_signed(d)).unwrap_or(ours)
    }

    /// Returns the seconds that GitHub's clock is ahead of ours.
    pub(crate) fn offset(&self) -> i64 {
        self.offset_seconds.load(Ordering::Relaxed)
    }

    /// Records the `Date` of a response that has just arrived.
    pub(crate) fn learn(&self, date: DateTime<Utc>) {
        let offset = (date - Utc::now()).num_seconds();
        let offset = if offset.abs() <= NOISE_SECONDS { 0 } else { offset };
        self.offset_seconds.store(offset, Ordering::Relaxed);
    }
}
