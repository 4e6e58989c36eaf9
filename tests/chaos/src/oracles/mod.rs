//! Invariants that must hold at the end of every run.

mod counts;
mod fleet;
mod jobs;
mod ledger;
mod secrets;
mod windows;

use crate::evidence::Evidence;
pub(crate) use windows::fullest_minute;

/// Result of one oracle.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The invariant.
    pub promise: &'static str,
    /// Number of things checked.
    pub looked_at: usize,
    /// Violations.
    pub offenders: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(promise: &'static str, looked_at: usize, offenders: Vec<String>) -> Self {
        Self { promise, looked_at, offenders }
    }

    /// Returns whether the invariant holds and was tested by at least one thing.
    pub fn holds(&self) -> bool {
        self.offenders.is_empty() && self.looked_at > 0
    }
}

/// Returns the verdicts of all oracles, in the order of the report.
pub(crate) fn all(evidence: &Evidence) -> Vec<Verdict> {
    [
        jobs::accepted_are_final,
        jobs::ended_in_time,
        jobs::one_config_each,
        jobs::finals_never_change,
        jobs::counters_fit,
        jobs::poison_is_deserved,
        fleet::nothing_stray,
        fleet::unmanaged_are_untouched,
        fleet::pending_exist,
        fleet::quota_holds,
        ledger::github_rules_are_kept,
        windows::no_window_exceeded,
        secrets::canary_is_nowhere,
        secrets::strangers_get_nothing,
        counts::equal_recounts,
        counts::redis_counts_right,
        counts::queue_is_empty,
        counts::webhooks_are_settled,
        counts::responses_match_the_rows,
        counts::processes_lived,
        counts::orphans_are_taken_up,
    ]
    .into_iter()
    .map(|oracle| oracle(evidence))
    .collect()
}
