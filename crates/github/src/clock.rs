//! GitHub's clock, learned from the `Date` of its answers.
//!
//! App JWTs and token lifetimes are judged by GitHub's clock; a machine whose own clock is wrong must work all the same.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// Differences up to this are latency and rounding.
const NOISE_SECONDS: i64 = 2;

/// Our clock plus what it lacks.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    offset_seconds: AtomicI64,
}

impl ServerClock {
    /// GitHub's time, as well as we know it.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let ours = Utc::now();
        TimeDelta::try_seconds(self.offset()).and_then(|d| ours.checked_add_signed(d)).unwrap_or(ours)
    }

    /// How far GitHub's clock is ahead of ours, in seconds.
    pub(crate) fn offset(&self) -> i64 {
        self.offset_seconds.load(Ordering::Relaxed)
    }

    /// Takes the `Date` of an answer that has just come.
    pub(crate) fn learn(&self, date: DateTime<Utc>) {
        let offset = (date - Utc::now()).num_seconds();
        let offset = if offset.abs() <= NOISE_SECONDS { 0 } else { offset };
        self.offset_seconds.store(offset, Ordering::Relaxed);
    }
}
