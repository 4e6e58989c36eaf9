//! Credit for lists: the time that a caller's lists may still take, refilled at a rate which all callers share.
//!
//! The refill is one counter, `refilled`: the credit that every caller with less than the full credit has got since the
//! start. It grows more slowly the more of them there are, so that all together get no more than the total rate. A
//! caller's state is the value of the counter at which its credit is full. Therefore a list costs O(log n), and no
//! caller waits for what another one has used.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Parts of a rate in one: a rate of this many parts refills one second of credit in a second.
const WHOLE: u32 = 1_000_000;
/// Least time that a list is charged before its cost is known.
const MIN_ADVANCE: Duration = Duration::from_millis(5);

/// Sizes and rates of the credit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CreditLimits {
    /// Most credit of one caller.
    pub(crate) burst: Duration,
    /// Credit of a new caller, divided by the number of callers whose credit is in use.
    pub(crate) shared_burst: Duration,
    /// Highest refill of one caller, in millionths of the time that passes.
    pub(crate) caller_rate: u32,
    /// Highest refill of all callers together, in millionths of the time that passes.
    pub(crate) total_rate: u32,
}

impl CreditLimits {
    /// Returns the usual credit with a total rate in percent, of which one caller gets half.
    pub(crate) fn from_percent(percent: u32) -> Self {
        let total_rate = percent.saturating_mul(WHOLE / 100);
        Self {
            burst: Duration::from_secs(1),
            shared_burst: Duration::from_secs(2),
            caller_rate: total_rate / 2,
            total_rate,
        }
    }
}

/// The credit of all callers. Times are durations since a start of the user's choice.
#[derive(Debug)]
pub(crate) struct ListCredit<K> {
    limits: CreditLimits,
    /// Time of the last refill.
    refilled_until: Duration,
    /// Credit that each caller in `filling` has got so far, in [`units`].
    refilled: u128,
    /// Callers with lists running or with less than the full credit.
    callers: BTreeMap<K, CallerCredit>,
    /// Callers with less than the full credit, by the value of `refilled` at which it is full.
    filling: BTreeSet<(u128, K)>,
}

#[derive(Debug)]
struct CallerCredit {
    /// Value of `refilled` at which the credit is full.
    full_at: u128,
    /// Lists of the caller that run.
    running: u32,
    /// Cost of the caller's last list.
    last_cost: Duration,
}

/// Time that a running list was charged when it started.
#[derive(Clone, Copy, Debug)]
#[must_use = "the list stays charged with an estimate until `finish`"]
pub(crate) struct Advance(Duration);

impl<K: Copy + Ord> ListCredit<K> {
    /// Returns full credit for every caller.
    pub(crate) fn new(limits: CreditLimits) -> Self {
        Self {
            limits,
            refilled_until: Duration::ZERO,
            refilled: 0,
            callers: BTreeMap::new(),
            filling: BTreeSet::new(),
        }
    }

    /// Starts a list of a caller that has credit. It is charged in advance with the cost of the caller's last list, so
    /// that lists which start together do not overdraw the credit together.
    ///
    /// # Errors
    /// The time until the caller has credit again.
    pub(crate) fn start(&mut self, caller: K, now: Duration) -> Result<Advance, Duration> {
        let wait = self.wait(caller, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        let others = u32::try_from(self.callers.len()).unwrap_or(u32::MAX - 1);
        let share = self.limits.shared_burst / (others + 1);
        let used = units(self.limits.burst.saturating_sub(share));
        let credit = self.callers.entry(caller).or_insert_with(|| CallerCredit {
            full_at: self.refilled + used,
            running: 0,
            last_cost: MIN_ADVANCE,
        });
        credit.running += 1;
        let advance = credit.last_cost;
        let full_at = credit.full_at.max(self.refilled) + units(advance);
        self.set_full_at(caller, full_at);
        Ok(Advance(advance))
    }

    /// Ends a list: its cost replaces what it was charged in advance.
    pub(crate) fn finish(&mut self, caller: K, advance: Advance, cost: Duration, now: Duration) {
        self.refill(now);
        let Some(credit) = self.callers.get_mut(&caller) else { return };
        credit.running = credit.running.saturating_sub(1);
        credit.last_cost = cost.max(MIN_ADVANCE);
        let charged = credit.full_at.max(self.refilled) + units(cost);
        self.set_full_at(caller, charged.saturating_sub(units(advance.0)));
        self.remove_if_unused(caller);
    }

    /// Returns the time until the caller has credit, zero if it has some. The time assumes that the number of callers
    /// stays the same.
    pub(crate) fn wait(&mut self, caller: K, now: Duration) -> Duration {
        self.refill(now);
        let Some(credit) = self.callers.get(&caller) else { return Duration::ZERO };
        let Some(missing) = (credit.full_at + 1).checked_sub(self.refilled + units(self.limits.burst)) else {
            return Duration::ZERO;
        };
        let nanos = missing.div_ceil(self.rate());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Brings the credit up to date and removes the callers whose credit is full.
    pub(crate) fn refill(&mut self, now: Duration) {
        let mut nanos = now.saturating_sub(self.refilled_until).as_nanos();
        self.refilled_until = self.refilled_until.max(now);
        while let Some((full_at, caller)) = self.filling.first().copied() {
            let rate = self.rate();
            let needed = full_at.saturating_sub(self.refilled).div_ceil(rate);
            if needed > nanos {
                self.refilled += nanos * rate;
                return;
            }
            nanos -= needed;
            self.refilled = self.refilled.max(full_at);
            self.filling.remove(&(full_at, caller));
            self.remove_if_unused(caller);
        }
    }

    /// Returns what every caller in `filling` gets in a nanosecond, in [`units`].
    fn rate(&self) -> u128 {
        let share = u128::from(self.limits.total_rate) / self.filling.len().max(1) as u128;
        share.min(u128::from(self.limits.caller_rate)).max(1)
    }

    fn set_full_at(&mut self, caller: K, full_at: u128) {
        let Some(credit) = self.callers.get_mut(&caller) else { return };
        self.filling.remove(&(credit.full_at, caller));
        credit.full_at = full_at;
        if full_at > self.refilled {
            self.filling.insert((full_at, caller));
        }
    }

    fn remove_if_unused(&mut self, caller: K) {
        let refilled = self.refilled;
        if self.callers.get(&caller).is_some_and(|credit| credit.running == 0 && credit.full_at <= refilled) {
            self.callers.remove(&caller);
        }
    }
}

/// Returns a time in the unit of the counter: a nanosecond divided by the parts of a rate, so that no refill is rounded.
fn units(time: Duration) -> u128 {
    time.as_nanos() * u128::from(WHOLE)
}

#[cfg(test)]
mod tests;
