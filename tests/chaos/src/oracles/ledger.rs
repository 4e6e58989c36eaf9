//! What GitHub would say of us.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use twin::{Violation, ViolationKind};

use super::Verdict;
use crate::{
    evidence::{At, Evidence},
    stage,
};

/// When Redis loses a pause, so many requests may be sent before the next answer teaches it again.
const BURST: usize = 10;
/// The longest pause of a run, and so the time after which a loss explains nothing any more.
const LONGEST_PAUSE: TimeDelta = TimeDelta::seconds(2);

/// Nobody asks while told to wait, and nothing else is done that GitHub would mind. One small burst is allowed after
/// Redis lost everything, as the pause was lost with it.
pub(super) fn nothing_inside_a_pause(evidence: &Evidence) -> Verdict {
    let offenders = unexplained(evidence.ledger.violations.iter(), &evidence.deeds.losses);
    let requests = usize::try_from(evidence.ledger.summary.requests).unwrap_or(usize::MAX);
    let mut offenders: Vec<String> = offenders
        .iter()
        .map(|violation| format!("{} {:?}: {}", violation.at.to_rfc3339(), violation.kind, violation.detail))
        .collect();
    let counted: u64 = evidence.ledger.summary.violations.values().sum();
    if counted > evidence.ledger.violations.len() as u64 {
        offenders.push("there were more violations than the ledger holds".to_owned());
    }
    let told = evidence.ledger.entries.iter().filter(|entry| matches!(entry.status, 403 | 429)).count();
    // Never told to wait: nothing was tried.
    let looked_at = if told > 0 { requests } else { 0 };
    Verdict::new("no request while told to wait, and no other abuse", looked_at, offenders)
}

/// The requests themselves are counted again: in no minute, and no five, more than GitHub allows, and one small burst
/// more for each loss of Redis in it.
pub(super) fn no_window_exceeded(evidence: &Evidence) -> Verdict {
    let mut offenders = Vec::new();
    let mut looked_at = 0;
    for (name, window, times) in windows(evidence) {
        looked_at += times.len();
        for (at, used, allowed) in full(&times, window, &evidence.deeds.losses) {
            if used > allowed {
                offenders
                    .push(format!("{name}: {used} of {allowed} in the window that ends {}", at.to_rfc3339()));
            }
        }
    }
    Verdict::new("no window of GitHub's limits is exceeded", looked_at, offenders)
}

/// The fullest minute of any endpoint.
pub(crate) fn fullest_minute(evidence: &Evidence) -> String {
    let windows = windows(evidence).into_iter().filter(|(_, window, _)| window.length == MINUTE.length);
    let fullest = windows.flat_map(|(name, window, times)| {
        full(&times, window, &evidence.deeds.losses).into_iter().map(move |(_, used, _)| (used, name.clone()))
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

const MINUTE: Window = Window { limit: 900, length: TimeDelta::minutes(1), burst: 5 * stage::BURST };
const REGISTRATIONS: Window = Window { limit: 1500, length: TimeDelta::minutes(5), burst: stage::BURST };

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
        // What was sent just before a loss may arrive just after it.
        let begun = *at - window.length - TimeDelta::seconds(2);
        let lost = losses.iter().filter(|(from, until)| *from <= *at && *until >= begun).count();
        let more = window.burst * u32::try_from(lost).unwrap_or(u32::MAX);
        all.push((*at, used, window.limit.saturating_add(more)));
    }
    all
}

/// Violations that no loss explains; each loss explains one burst.
fn unexplained<'v>(
    violations: impl Iterator<Item = &'v Violation>,
    losses: &[(At, At)],
) -> Vec<&'v Violation> {
    let mut bursts: Vec<(At, At, usize)> =
        losses.iter().map(|(from, until)| (*from, *until + LONGEST_PAUSE, BURST)).collect();
    violations
        .filter(|violation| {
            let explains = |burst: &&mut (At, At, usize)| {
                violation.kind == ViolationKind::InsidePause
                    && (burst.0..=burst.1).contains(&violation.at)
                    && burst.2 > 0
            };
            match bursts.iter_mut().find(explains) {
                Some(burst) => {
                    burst.2 -= 1;
                    false
                }
                None => true,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(seconds: i64) -> At {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn violation(seconds: i64, kind: ViolationKind) -> Violation {
        Violation { at: at(seconds), kind, request_id: String::new(), detail: String::new() }
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

    #[test]
    fn a_loss_explains_one_burst_and_no_more() {
        let inside = |seconds| violation(seconds, ViolationKind::InsidePause);
        let all: Vec<_> = (0..12).map(|_| inside(1)).collect();
        assert_eq!(unexplained(all.iter(), &[(at(0), at(0))]).len(), 2);
        assert_eq!(unexplained(all.iter(), &[(at(5), at(6))]).len(), 12);
        assert_eq!(unexplained(all.iter(), &[]).len(), 12);
        let other = [violation(1, ViolationKind::DuplicateName), inside(9)];
        assert_eq!(unexplained(other.iter(), &[(at(0), at(0))]).len(), 2);
    }
}
