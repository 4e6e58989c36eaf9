//! The one place that reads the wall clock.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Where "now" comes from. Decisions that two processes must agree on use the stores' clocks instead.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// A clock that only moves when told to; for tests.
    Fixed(FixedClock),
}

impl Clock {
    /// A fixed clock and the handle that moves it.
    pub fn fixed(at: DateTime<Utc>) -> (Self, FixedClock) {
        let handle = FixedClock(Arc::new(AtomicI64::new(at.timestamp_micros())));
        (Self::Fixed(handle.clone()), handle)
    }

    /// How long the process has lived, for ages and pauses: it never goes back when somebody sets the wall
    /// clock. Only differences mean anything. A fixed clock counts from 1970.
    pub fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::System => START.elapsed(),
            Self::Fixed(clock) => {
                clock.now().signed_duration_since(DateTime::UNIX_EPOCH).to_std().unwrap_or_default()
            }
        }
    }

    /// The time now, UTC.
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => system_now(),
            Self::Fixed(clock) => clock.now(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the only reader of the wall clock; all others take a Clock")]
fn system_now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

/// Moves a [`Clock::Fixed`]; microsecond precision, shared by all its clones.
#[derive(Clone, Debug)]
pub struct FixedClock(Arc<AtomicI64>);

impl FixedClock {
    /// The time it shows.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap_or_default()
    }

    /// Shows `at` from now on.
    pub fn set(&self, at: DateTime<Utc>) {
        self.0.store(at.timestamp_micros(), Ordering::SeqCst);
    }

    /// Moves forward (or back, if negative).
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let (clock, handle) = Clock::fixed(start);
        assert_eq!(clock.now(), start);
        handle.advance(TimeDelta::seconds(90));
        assert_eq!(clock.now(), start + TimeDelta::seconds(90));
        handle.set(start);
        assert_eq!(clock.clone().now(), start);
    }

    #[test]
    fn ages_follow_a_fixed_clock() {
        let (clock, handle) = Clock::fixed(DateTime::UNIX_EPOCH);
        let before = clock.monotonic();
        handle.advance(TimeDelta::seconds(3));
        assert_eq!(clock.monotonic(), before + Duration::from_secs(3));
        assert!(Clock::System.monotonic() <= Clock::System.monotonic());
    }

    #[test]
    fn the_system_clock_is_after_this_was_written() {
        assert!(Clock::System.now().timestamp() > 1_700_000_000);
    }
}
