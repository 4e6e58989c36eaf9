//! What GitHub's limits let through, counted again from the requests themselves.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::Verdict;
use crate::evidence::{At, Evidence};

/// Requests of one small burst.
const BURST: u32 = 10;
/// Points of a minute without a loss that must have been used in it, of 900: less, and GitHub's limit was never in the way.
/// Each worker that is killed takes with it what its jobs had paid for, and what callers ask for without the flood is 540.
const SATURATED: u32 = 600;
/// What was sent just before a loss may arrive so much later.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(2);

/// In no minute, and no five, more than GitHub allows, and one small burst more for each loss of Redis in it. There must be a
/// minute without any that was nearly full.
pub(super) fn no_window_exceeded(evidence: &Evidence) -> Verdict {
    let mut offenders = Vec::new();
    let (mut looked_at, mut strictly) = (0, 0);
    for (name, window, times) in windows(evidence) {
        looked_at += times.len();
        for (at, used, allowed) in full(&times, window, &evidence.deeds.losses) {
            if used > allowed {
                offenders
                    .push(format!("{name}: {used} of {allowed} in the window that ends {}", at.to_rfc3339()));
            }
            if allowed == MINUTE.limit {
                strictly = used.max(strictly);
            }
        }
    }
    // A machine that is too slow for the load does not use a minute up.
    let used_up = f64::from(strictly) * evidence.slowness.max(1.0) >= f64::from(SATURATED);
    let looked_at = if used_up { looked_at } else { 0 };
    Verdict::new("no window of GitHub's limits is exceeded", looked_at, offenders)
}

/// The fullest minute of any endpoint in which Redis was not lost.
pub(crate) fn fullest_minute(evidence: &Evidence) -> String {
    let windows = windows(evidence).into_iter().filter(|(_, window, _)| window.length == MINUTE.length);
    let fullest = windows.flat_map(|(name, window, times)| {
        let full = full(&times, window, &evidence.deeds.losses).into_iter();
        full.filter(|one| one.2 == MINUTE.limit).map(move |(_, used, _)| (used, name.clone()))
    });
    fullest.max().map_or("-".to_owned(), |(used, _)| format!("{used} of {}", MINUTE.limit))
}

/// So much in so long.
#[derive(Clone, Copy)]
struct Window {
    limit: u32,
    length: TimeDelta,
    /// What one small burst is.
    burst: u32,
}

const MINUTE: Window = Window { limit: 900, length: TimeDelta::minutes(1), burst: 5 * BURST };
const REGISTRATIONS: Window = Window { limit: 1500, length: TimeDelta::minutes(5), burst: BURST };

/// A limit, with the times and costs of what counts for it.
type Limited = (String, Window, Vec<(At, u32)>);

/// Every limit that was used.
fn windows(evidence: &Evidence) -> Vec<Limited> {
    let mut all: BTreeMap<String, Vec<(At, u32)>> = BTreeMap::new();
    let mut registrations = Vec::new();
    for entry in evidence.ledger.entries.iter().filter(|entry| entry.installation.is_some()) {
        let cost = if entry.method == "GET" { 1 } else { 5 };
        all.entry(format!("{} {}", entry.method, entry.template)).or_default().push((entry.at, cost));
        if entry.template.ends_with("/generate-jitconfig") {
            registrations.push((entry.at, 1));
        }
    }
    let mut windows: Vec<_> = all.into_iter().map(|(name, times)| (name, MINUTE, times)).collect();
    windows.push(("registrations".to_owned(), REGISTRATIONS, registrations));
    // The ledger is in the order of answers.
    for (_, _, times) in &mut windows {
        times.sort_unstable();
    }
    windows
}

/// For each request: its time, what was used in the window that ends with it, and what is allowed there.
fn full(times: &[(At, u32)], window: Window, losses: &[(At, At)]) -> Vec<(At, u32, u32)> {
    let (mut first, mut used) = (0, 0);
    let mut all = Vec::with_capacity(times.len());
    for (at, cost) in times {
        used += cost;
        while times[first].0 <= *at - window.length {
            used -= times[first].1;
            first += 1;
        }
        let begun = *at - window.length - ON_ITS_WAY;
        let lost = losses.iter().filter(|(from, until)| *from <= *at && *until >= begun).count();
        let more = window.burst * u32::try_from(lost).unwrap_or(u32::MAX);
        all.push((*at, used, window.limit.saturating_add(more)));
    }
    all
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(seconds: i64) -> At {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_window_that_is_exceeded_is_found() {
        let window = Window { limit: 3, length: TimeDelta::seconds(10), burst: 2 };
        let times: Vec<_> = [0, 1, 9, 10, 11, 19].into_iter().map(|second| (at(second), 1)).collect();
        let most = |losses: &[(At, At)]| -> Vec<(u32, u32)> {
            full(&times, window, losses).into_iter().map(|(_, used, allowed)| (used, allowed)).collect()
        };
        assert_eq!(most(&[]), [(1, 3), (2, 3), (3, 3), (3, 3), (3, 3), (3, 3)]);
        assert_eq!(most(&[(at(11), at(12))])[4..], [(3, 5), (3, 5)]);
        let twice: Vec<_> = (0..4).map(|_| (at(1), 1)).collect();
        assert_eq!(full(&twice, window, &[])[3], (at(1), 4, 3));
    }
}
