//! What GitHub would say of us.

use chrono::TimeDelta;
use twin::{Violation, ViolationKind};

use super::Verdict;
use crate::evidence::{At, Evidence};

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
    Verdict::new("no request while told to wait, and no other abuse", requests, offenders)
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
