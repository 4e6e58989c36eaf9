//! Usage of GitHub's limits, counted again from the requests themselves.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::Verdict;
use crate::evidence::{At, Evidence};

/// Requests of one small burst.
const BURST: u32 = 10;
/// Points, of 900, that the fullest minute without a loss must reach; less means that GitHub's limit had no effect.
/// A killed worker's prepaid calls are lost, and callers outside the flood request 540.
const MIN_USED_POINTS: u32 = 600;
/// Delay of requests that were sent just before a loss.
const MAX_TRANSIT: TimeDelta = TimeDelta::seconds(2);

/// No minute and no five minutes exceed GitHub's limits, with one small burst more for each loss of Redis in them. At
/// least one minute without a loss must be nearly full.
pub(super) fn no_window_exceeded(evidence: &Evidence) -> Verdict {
    let mut offenders = Vec::new();
    let (mut looked_at, mut strictly) = (0, 0);
    for (name, window, times) in windows(evidence) {
        looked_at += times.len();
        for (at, used, allowed) in window_usage(&times, window, &evidence.executed_faults.losses) {
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
    let used_up = f64::from(strictly) * evidence.slowness.max(1.0) >= f64::from(MIN_USED_POINTS);
    let looked_at = if used_up { looked_at } else { 0 };
    Verdict::new("no window of GitHub's limits is exceeded", looked_at, offenders)
}

/// Returns the fullest minute of any endpoint in which Redis was not lost.
pub(crate) fn fullest_minute(evidence: &Evidence) -> String {
    let windows = windows(evidence).into_iter().filter(|(_, window, _)| window.length == MINUTE.length);
    let fullest = windows.flat_map(|(name, window, times)| {
        let full = window_usage(&times, window, &evidence.executed_faults.losses).into_iter();
        full.filter(|one| one.2 == MINUTE.limit).map(move |(_, used, _)| (used, name.clone()))
    });
    fullest.max().map_or("-".to_owned(), |(used, _)| format!("{used} of {}", MINUTE.limit))
}

/// A limit: an amount per time.
#[derive(Clone, Copy)]
struct Window {
    limit: u32,
    length: TimeDelta,
    /// Size of one small burst.
    burst: u32,
}

const MINUTE: Window = Window { limit: 900, length: TimeDelta::minutes(1), burst: 5 * BURST };
const REGISTRATIONS: Window = Window { limit: 1500, length: TimeDelta::minutes(5), burst: BURST };

/// A limit, with the times and costs that count for it.
type Limited = (String, Window, Vec<(At, u32)>);

/// Returns every limit that was used.
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
    // The ledger is in the order of responses.
    for (_, _, times) in &mut windows {
        times.sort_unstable();
    }
    windows
}

/// Returns for each request: its time, the usage of the window that ends with it, and the allowance.
fn window_usage(times: &[(At, u32)], window: Window, losses: &[(At, At)]) -> Vec<(At, u32, u32)> {
    let (mut first, mut used) = (0, 0);
    let mut all = Vec::with_capacity(times.len());
    for (at, cost) in times {
        used += cost;
        while times[first].0 <= *at - window.length {
            used -= times[first].1;
            first += 1;
        }
        let begun = *at - window.length - MAX_TRANSIT;
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
    fn window_that_is_exceeded_is_found() {
        let window = Window { limit: 3, length: TimeDelta::seconds(10), burst: 2 };
        let times: Vec<_> = [0, 1, 9, 10, 11, 19].into_iter().map(|second| (at(second), 1)).collect();
        let most = |losses: &[(At, At)]| -> Vec<(u32, u32)> {
            window_usage(&times, window, losses)
                .into_iter()
                .map(|(_, used, allowed)| (used, allowed))
                .collect()
        };
        assert_eq!(most(&[]), [(1, 3), (2, 3), (3, 3), (3, 3), (3, 3), (3, 3)]);
        assert_eq!(most(&[(at(11), at(12))])[4..], [(3, 5), (3, 5)]);
        let twice: Vec<_> = (0..4).map(|_| (at(1), 1)).collect();
        assert_eq!(window_usage(&twice, window, &[])[3], (at(1), 4, 3));
    }
}
