//! Conduct towards GitHub, judged by the twin's ledger.

use std::{collections::HashMap, time::Duration};

use chrono::TimeDelta;
use github_twin::{Violation, ViolationKind};

use super::Verdict;
use crate::evidence::{At, Evidence};

/// Requests that may be sent to an endpoint in one burst before a response restores lost knowledge.
const BURST: usize = 10;
/// Time after the return of Redis in which a pause or an exhausted window may be unknown. The first responses restore
/// it: a process may need one second to reconnect, and a delayed response takes four.
const LIMITS_RELEARNED: Duration = Duration::from_secs(5);
/// Time for which a void token may still be sent. A refused token is retried until it is 30 s old, because GitHub may
/// not know a new one yet; requests in flight take some seconds more.
const VOID_TOKEN_RETRIES: Duration = Duration::from_secs(35);
/// Processes with a token, each of which learns from its own response that the token is void: three workers and two
/// schedulers.
const PROCESSES: usize = 5;
/// Lifetime of a token.
const TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// No request is sent during a wait that GitHub demanded, and no other rule of GitHub is broken. One small burst is
/// allowed after Redis lost its data, which includes the limits.
pub(super) fn github_rules_are_kept(evidence: &Evidence) -> Verdict {
    let ledger = &evidence.ledger;
    let mut offenders: Vec<String> = unexplained(evidence)
        .iter()
        .map(|violation| format!("{} {:?}: {}", violation.at.to_rfc3339(), violation.kind, violation.detail))
        .collect();
    let counted: u64 = ledger.summary.violations.values().sum();
    if counted > ledger.violations.len() as u64 || ledger.summary.forgotten > 0 {
        let requests = ledger.summary.forgotten;
        offenders.push(format!("the ledger forgot {requests} requests, or violations: it was too small"));
    }
    // Without a demanded wait and a window that was exhausted and renewed, the run proves nothing.
    let limited = ledger.entries.iter().any(|entry| matches!(entry.status, 403 | 429));
    let tried = limited && evidence.excused.used_up > 0 && evidence.excused.renewed > 0;
    let requests = usize::try_from(ledger.summary.requests).unwrap_or(usize::MAX);
    Verdict::new(
        "no request during a pause, and no other violation of GitHub's rules",
        if tried { requests } else { 0 },
        offenders,
    )
}

/// An event that may explain some violations.
struct Excuse {
    from: At,
    until: At,
    kinds: &'static [ViolationKind],
    /// Largest number of requests it may explain, per endpoint or in total.
    max_requests: usize,
    each: bool,
    /// Number of requests it has explained, by endpoint.
    used: HashMap<String, usize>,
}

impl Excuse {
    fn new(from: At, until: At, kinds: &'static [ViolationKind]) -> Self {
        Self { from, until, kinds, max_requests: BURST, each: true, used: HashMap::new() }
    }

    /// Excuses for a token that became void.
    fn void(from: At, retries: TimeDelta) -> [Self; 2] {
        let last = Self {
            max_requests: PROCESSES,
            each: false,
            ..Self::new(from, from + TOKEN_LIFETIME, &[ViolationKind::ExpiredToken])
        };
        // Each job that waits for the new token retries every 1 to 3 s.
        let young = Self {
            max_requests: usize::MAX,
            ..Self::new(from, from + retries, &[ViolationKind::ExpiredToken])
        };
        [last, young]
    }

    fn takes(&mut self, violation: &Violation, endpoint: &str) -> bool {
        if !(self.from..=self.until).contains(&violation.at) || !self.kinds.contains(&violation.kind) {
            return false;
        }
        let of = if self.each { endpoint } else { "" };
        let used = self.used.entry(of.to_owned()).or_default();
        *used += 1;
        *used <= self.max_requests
    }
}

/// Returns the violations without an explanation.
fn unexplained(evidence: &Evidence) -> Vec<&Violation> {
    use ViolationKind::{InsidePause, PointsExceeded, RegistrationsExceeded, WindowExhausted};
    let ledger = &evidence.ledger;
    let scaled = |bound| TimeDelta::from_std(evidence.scaled(bound)).unwrap_or(TimeDelta::MAX);
    let mut excuses = Vec::new();
    for (from, until) in &evidence.executed_faults.losses {
        let known = *until + scaled(LIMITS_RELEARNED);
        excuses.push(Excuse::new(*from, known, &[InsidePause, WindowExhausted]));
        // The service has lost its usage record for as long as GitHub remembers the usage.
        excuses.push(Excuse::new(*from, known + TimeDelta::minutes(1), &[PointsExceeded]));
        excuses.push(Excuse::new(*from, known + TimeDelta::minutes(5), &[RegistrationsExceeded]));
    }
    let void = ledger.entries.iter().filter(|entry| entry.fault.as_deref() == Some("token_expired"));
    excuses.extend(void.flat_map(|entry| Excuse::void(entry.at, scaled(VOID_TOKEN_RETRIES))));
    let endpoints: HashMap<&str, String> = ledger
        .entries
        .iter()
        .map(|entry| (entry.request_id.as_str(), format!("{} {}", entry.method, entry.template)))
        .collect();
    let unknown = String::new();
    ledger
        .violations
        .iter()
        .filter(|violation| {
            let endpoint = endpoints.get(violation.request_id.as_str()).unwrap_or(&unknown);
            // The latest excuse first: an older one explains later violations no better.
            !excuses.iter_mut().rev().any(|excuse| excuse.takes(violation, endpoint))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use github_twin::{Entry, Ledger};

    use super::*;

    fn at(seconds: i64) -> At {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn ledger(violations: &[(i64, ViolationKind, &str)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (nth, (seconds, kind, template)) in violations.iter().enumerate() {
            ledger.entries.push_back(entry(nth, *seconds, template, None));
            let (request_id, detail) = (nth.to_string(), String::new());
            ledger.violations.push_back(Violation { at: at(*seconds), kind: *kind, request_id, detail });
        }
        ledger
    }

    fn left(ledger: &Ledger, losses: &[(At, At)]) -> usize {
        let mut evidence = Evidence { ledger: ledger.clone(), ..Evidence::default() };
        evidence.executed_faults.losses = losses.to_vec();
        unexplained(&evidence).len()
    }

    fn entry(nth: usize, seconds: i64, template: &str, fault: Option<&str>) -> Entry {
        Entry {
            seq: 0,
            at: at(seconds),
            method: "POST".to_owned(),
            path: String::new(),
            template: template.to_owned(),
            installation: Some(1),
            status: 403,
            request_id: nth.to_string(),
            user_agent: String::new(),
            fault: fault.map(str::to_owned),
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    #[test]
    fn loss_excuses_one_burst_per_endpoint() {
        let inside = [(1, ViolationKind::InsidePause, "/a"); 12];
        let left = |losses: &[(At, At)]| super::tests::left(&ledger(&inside), losses);
        assert_eq!(left(&[(at(0), at(0))]), 2);
        assert_eq!(left(&[(at(0), at(0)), (at(1), at(1))]), 0);
        assert_eq!(left(&[(at(5), at(6))]), 12);
        assert_eq!(left(&[]), 12);
        let apart = [inside, [(1, ViolationKind::WindowExhausted, "/b"); 12]].concat();
        assert_eq!(super::tests::left(&ledger(&apart), &[(at(0), at(0))]), 4);
    }

    #[test]
    fn loss_of_redis_excuses_only_what_it_erased() {
        let points = |seconds| (seconds, ViolationKind::PointsExceeded, "/a");
        let inside = |seconds| (seconds, ViolationKind::InsidePause, "/a");
        let name = (1, ViolationKind::DuplicateName, "/a");
        let all = ledger(&[points(60), points(70), inside(4), inside(9), name]);
        assert_eq!(left(&all, &[(at(0), at(0))]), 3);
    }

    #[test]
    fn void_token_is_allowed_once_per_process() {
        let expired = |seconds| (seconds, ViolationKind::ExpiredToken, "/a");
        let mut all = ledger(&[
            expired(2),
            expired(39),
            expired(50),
            expired(51),
            expired(52),
            expired(53),
            expired(54),
        ]);
        assert_eq!(left(&all, &[]), 7);
        all.entries.push_back(entry(9, 1, "/a", Some("token_expired")));
        assert_eq!(left(&all, &[]), 1, "requests before the loss");
        all.violations.push_back(all.violations[6].clone());
        assert_eq!(left(&all, &[]), 2, "one more than there are processes");
    }
}
