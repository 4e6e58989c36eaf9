//! Clock of the twin: the machine's at the start, then monotonic, and movable forwards by tests.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// Monotonic time since the start plus the time that tests added; changes of the machine's clock have no effect.
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

    /// Moves the clock forwards, at most ten years in total so that no sum can overflow.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.added = (self.added + delta(by)).min(TimeDelta::days(3650));
    }
}

/// Converts a standard duration to a calendar one, at most ten years.
pub(crate) fn delta(by: Duration) -> TimeDelta {
    TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX).min(TimeDelta::days(3650))
}

/// Returns the whole seconds until `then`, at least one.
pub(crate) fn seconds_until(then: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
    let ms = (then - now).num_milliseconds().max(1);
    u64::try_from(ms).unwrap_or(1).div_ceil(1000)
}
