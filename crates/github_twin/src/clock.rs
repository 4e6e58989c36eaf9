//! The clock of the twin: the machine's, started once, and movable forwards by tests.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// Steady time since the start plus what tests added; setting the machine's clock has no effect on it.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    origin: DateTime<Utc>,
    started: Instant,
    added: TimeDelta,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Utc::now(), started: Instant::now(), added: TimeDelta::zero() }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.origin + delta(self.started.elapsed()) + self.added
    }

    /// Moves the clock forwards, at most ten years in all so that no sum can overflow.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.added = (self.added + delta(by)).min(TimeDelta::days(3650));
    }
}

/// A standard duration as a calendar one, at most ten years.
pub(crate) fn delta(by: Duration) -> TimeDelta {
    TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX).min(TimeDelta::days(3650))
}

/// Whole seconds until `then`, at least one.
pub(crate) fn seconds_until(then: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
    let ms = (then - now).num_milliseconds().max(1);
    u64::try_from(ms).unwrap_or(1).div_ceil(1000)
}
