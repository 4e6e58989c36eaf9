//! The one place that reads the wall clock.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Differences below this are the time a question takes.
const NOISE: TimeDelta = TimeDelta::seconds(2);

/// Where "now" comes from. Decisions that two processes must agree on use the stores' clocks instead.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// The machine's wall clock, put right by one that all machines share.
    Shared(SharedClock),
    /// A clock that only moves when told to; for tests.
    Fixed(FixedClock),
}

impl Clock {
    /// A fixed clock and the handle that moves it.
    pub fn fixed(at: DateTime<Utc>) -> (Self, FixedClock) {
        let handle = FixedClock(Arc::new(AtomicI64::new(at.timestamp_micros())));
        (Self::Fixed(handle.clone()), handle)
    }

    /// The machine's wall clock until it is told better.
    pub fn shared() -> Self {
        Self::Shared(SharedClock::default())
    }

    /// Takes in what the clock shared by all machines shows now. Only a [`Clock::Shared`] follows it.
    pub fn learn(&self, theirs: DateTime<Utc>) {
        if let Self::Shared(clock) = self {
            clock.learn(theirs - system_now());
        }
    }

    /// How long the process has lived, for ages and pauses: it never goes back when somebody sets the wall
    /// clock. Only differences mean anything. A fixed clock counts from 1970.
    pub fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::System | Self::Shared(_) => START.elapsed(),
            Self::Fixed(clock) => {
                clock.now().signed_duration_since(DateTime::UNIX_EPOCH).to_std().unwrap_or_default()
            }
        }
    }

    /// The time now, UTC.
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => system_now(),
            Self::Shared(clock) => clock.now(),
            Self::Fixed(clock) => clock.now(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the only reader of the wall clock; all others take a Clock")]
fn system_now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

/// What the machine's wall clock lacks; microsecond precision, shared by all its clones.
#[derive(Clone, Debug, Default)]
pub struct SharedClock(Arc<AtomicI64>);

impl SharedClock {
    fn now(&self) -> DateTime<Utc> {
        system_now() + TimeDelta::microseconds(self.0.load(Ordering::Relaxed))
    }

    fn learn(&self, lacks: TimeDelta) {
        let lacks = if lacks.abs() < NOISE { TimeDelta::zero() } else { lacks };
        let known = self.0.swap(lacks.num_microseconds().unwrap_or_default(), Ordering::Relaxed);
        if known == 0 && !lacks.is_zero() {
            let seconds = lacks.num_seconds();
            tracing::warn!(seconds, "this machine's clock differs from the one all machines share");
        }
    }
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
    fn a_shared_clock_shows_what_it_was_told_last() {
        let clock = Clock::shared();
        let off = |clock: &Clock| (clock.now() - Clock::System.now()).num_seconds();
        assert_eq!(off(&clock), 0);
        for minutes in [10, -10] {
            clock.clone().learn(Clock::System.now() + TimeDelta::minutes(minutes));
            assert!((off(&clock) - minutes * 60).abs() <= 1);
        }
        clock.learn(Clock::System.now() + TimeDelta::seconds(1));
        assert_eq!(off(&clock), 0, "the time a question takes is no difference");
    }

    #[test]
    fn the_system_clock_is_after_this_was_written() {
        assert!(Clock::System.now().timestamp() > 1_700_000_000);
    }
}
