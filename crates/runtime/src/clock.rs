//! The process's clocks: the wall clock, corrected or fixed, and a monotonic clock.
//!
//! No other module reads the wall clock.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Clock differences below this are ignored: they are within the round trip of the query.
const MIN_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(2);

/// Source of the current time. Decisions on which two processes must agree use the stores' clocks instead.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// The machine's wall clock, corrected by the clocks of other machines.
    Shared(SharedClock),
    /// A clock that only moves when a test sets it.
    Fixed(FixedClock),
}

impl Clock {
    /// Returns a fixed clock and the handle that moves it.
    pub fn fixed(at: DateTime<Utc>) -> (Self, FixedClock) {
        let handle = FixedClock(Arc::new(AtomicI64::new(at.timestamp_micros())));
        (Self::Fixed(handle.clone()), handle)
    }

    /// Returns the machine's wall clock, uncorrected until the first [`Clock::learn`].
    pub fn shared() -> Self {
        Self::Shared(SharedClock::default())
    }

    /// Records the time on another machine. Only [`Clock::Shared`] uses it.
    pub fn learn(&self, witness: Witness, theirs: DateTime<Utc>) {
        if let Self::Shared(clock) = self {
            clock.learn(witness, theirs - system_now());
        }
    }

    /// Returns a monotonic time for ages and pauses, unaffected by changes of the wall clock. Only differences are
    /// meaningful. A fixed clock counts from 1970.
    pub fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::System | Self::Shared(_) => START.elapsed(),
            Self::Fixed(clock) => {
                clock.now().signed_duration_since(DateTime::UNIX_EPOCH).to_std().unwrap_or_default()
            }
        }
    }

    /// Returns the current time, UTC.
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

/// Another machine with a known clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The database, whose clock all processes share.
    Database,
    /// A token issuer, by the `Date` header of its responses.
    Issuer,
}

/// Offsets of the witnesses' clocks from this machine's, in microseconds; shared by all clones.
///
/// With one witness its clock is used, with two the median of the three. One machine with a wrong clock then cannot
/// make valid tokens look expired.
#[derive(Clone, Debug)]
pub struct SharedClock(Arc<[AtomicI64; 2]>);

/// Offset of a witness whose clock is not known yet.
const NOT_LEARNED: i64 = i64::MIN;

impl Default for SharedClock {
    fn default() -> Self {
        Self(Arc::new([AtomicI64::new(NOT_LEARNED), AtomicI64::new(NOT_LEARNED)]))
    }
}

impl SharedClock {
    fn now(&self) -> DateTime<Utc> {
        system_now() + TimeDelta::microseconds(self.ahead())
    }

    /// Returns the correction of the machine's clock, in microseconds.
    fn ahead(&self) -> i64 {
        let [database, issuer] = [0, 1].map(|n: usize| self.0[n].load(Ordering::Relaxed));
        match (database, issuer) {
            (NOT_LEARNED, NOT_LEARNED) => 0,
            (one, NOT_LEARNED) | (NOT_LEARNED, one) => one,
            (one, other) => {
                let mut all = [one, other, 0];
                all.sort_unstable();
                all[1]
            }
        }
    }

    fn learn(&self, witness: Witness, ahead: TimeDelta) {
        let ahead = if ahead.abs() < MIN_CLOCK_DIFFERENCE { TimeDelta::zero() } else { ahead };
        let known = &self.0[witness as usize];
        let before = known.swap(ahead.num_microseconds().unwrap_or_default(), Ordering::Relaxed);
        if matches!(before, 0 | NOT_LEARNED) && !ahead.is_zero() {
            tracing::warn!(?witness, seconds = ahead.num_seconds(), "clocks differ");
        }
    }
}

/// Handle that moves a [`Clock::Fixed`]; microsecond precision, shared by all clones.
#[derive(Clone, Debug)]
pub struct FixedClock(Arc<AtomicI64>);

impl FixedClock {
    /// Returns the time the clock shows.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap_or_default()
    }

    /// Sets the clock to `at`.
    pub fn set(&self, at: DateTime<Utc>) {
        self.0.store(at.timestamp_micros(), Ordering::SeqCst);
    }

    /// Moves the clock forward, or back if `by` is negative.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_clock_moves_only_on_request() {
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
    fn one_wrong_clock_of_three_does_not_count() {
        let off = |clock: &Clock| (clock.now() - Clock::System.now()).num_seconds();
        let at = |minutes| Clock::System.now() + TimeDelta::minutes(minutes);
        for (database, issuer, right) in [(10, 0, 0), (0, -10, 0), (10, 10, 600), (-8, 9, 0), (9, 8, 480)] {
            let clock = Clock::shared();
            clock.learn(Witness::Database, at(database));
            clock.learn(Witness::Issuer, at(issuer));
            assert!((off(&clock) - right).abs() <= 1, "{database} {issuer}");
        }
    }

    #[test]
    fn shared_clock_shows_the_last_learned_time() {
        let clock = Clock::shared();
        let off = |clock: &Clock| (clock.now() - Clock::System.now()).num_seconds();
        assert_eq!(off(&clock), 0);
        for minutes in [10, -10] {
            clock.clone().learn(Witness::Database, Clock::System.now() + TimeDelta::minutes(minutes));
            assert!((off(&clock) - minutes * 60).abs() <= 1);
        }
        clock.learn(Witness::Database, Clock::System.now() + TimeDelta::seconds(1));
        assert_eq!(off(&clock), 0, "the duration of a request is not an offset");
    }

    #[test]
    fn system_clock_is_later_than_the_first_release() {
        assert!(Clock::System.now().timestamp() > 1_700_000_000);
    }
}
