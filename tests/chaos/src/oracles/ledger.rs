//! What GitHub would say of us.

use std::{collections::HashMap, time::Duration};

use chrono::TimeDelta;
use github_twin::{Violation, ViolationKind};

use super::Verdict;
use crate::evidence::{At, Evidence};

/// One small burst: so many requests to an endpoint may be sent before an answer teaches what was lost.
const BURST: usize = 10;
/// How long after Redis is back a pause or an empty window may be unknown: the first answers tell of it, and they come within
/// the second that a process may need to find Redis again, and the four that a delayed answer takes.
const LEARNED: Duration = Duration::from_secs(5);
/// How long after a token is void it may still be sent: a refused token is tried again until it is 30 s old, since GitHub may
/// not know a new one yet, and what is under way then takes some seconds more.
const TOLD: Duration = Duration::from_secs(35);
/// Each process that has a token learns by an answer of its own that it is void, whenever it next asks: three workers and
/// two schedulers.
const PROCESSES: usize = 5;
/// As long as a token lives.
const LIFE: TimeDelta = TimeDelta::hours(1);

/// Nobody asks while told to wait, and nothing else is done that GitHub would mind. One small burst is allowed after Redis
/// lost everything, as what GitHub had told was lost with it.
pub(super) fn nothing_github_minds(evidence: &Evidence) -> Verdict {
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
    // Never told to wait, no window that was used up and came again: nothing was tried.
    let told = ledger.entries.iter().any(|entry| matches!(entry.status, 403 | 429));
    let tried = told && evidence.held.used_up > 0 && evidence.held.renewed > 0;
    let requests = usize::try_from(ledger.summary.requests).unwrap_or(usize::MAX);
    Verdict::new(
        "no request while told to wait, and no other abuse",
        if tried { requests } else { 0 },
        offenders,
    )
}

/// What may explain some violations.
struct Excuse {
    from: At,
    until: At,
    kinds: &'static [ViolationKind],
    /// Requests it may explain, of each endpoint or of all together.
    most: usize,
    each: bool,
    /// Requests it has explained, by endpoint.
    used: HashMap<String, usize>,
}

impl Excuse {
    fn new(from: At, until: At, kinds: &'static [ViolationKind]) -> Self {
        Self { from, until, kinds, most: BURST, each: true, used: HashMap::new() }
    }

    /// A token became void.
    fn void(from: At, told: TimeDelta) -> [Self; 2] {
        let last = Self {
            most: PROCESSES,
            each: false,
            ..Self::new(from, from + LIFE, &[ViolationKind::ExpiredToken])
        };
        // Each job that waits for the new token tries it every 1 to 3 s.
        let young = Self { most: usize::MAX, ..Self::new(from, from + told, &[ViolationKind::ExpiredToken]) };
        [last, young]
    }

    fn takes(&mut self, violation: &Violation, endpoint: &str) -> bool {
        if !(self.from..=self.until).contains(&violation.at) || !self.kinds.contains(&violation.kind) {
            return false;
        }
        let of = if self.each { endpoint } else { "" };
        let used = self.used.entry(of.to_owned()).or_default();
        *used += 1;
        *used <= self.most
    }
}

/// Violations that nothing explains.
fn unexplained(evidence: &Evidence) -> Vec<&Violation> {
    use ViolationKind::{InsidePause, PointsExceeded, RegistrationsExceeded, WindowExhausted};
    let ledger = &evidence.ledger;
    let scaled = |bound| TimeDelta::from_std(evidence.scaled(bound)).unwrap_or(TimeDelta::MAX);
    let mut excuses = Vec::new();
    for (from, until) in &evidence.deeds.losses {
        let told = *until + scaled(LEARNED);
        excuses.push(Excuse::new(*from, told, &[InsidePause, WindowExhausted]));
        // What was used before is forgotten for as long as GitHub remembers it.
        excuses.push(Excuse::new(*from, told + TimeDelta::minutes(1), &[PointsExceeded]));
        excuses.push(Excuse::new(*from, told + TimeDelta::minutes(5), &[RegistrationsExceeded]));
    }
    let void = ledger.entries.iter().filter(|entry| entry.fault.as_deref() == Some("token_expired"));
    excuses.extend(void.flat_map(|entry| Excuse::void(entry.at, scaled(TOLD))));
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
            // The latest first: an older one explains later violations no better.
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
        evidence.deeds.losses = losses.to_vec();
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
    fn a_loss_explains_one_burst_of_each_endpoint_and_no_more() {
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
    fn a_loss_of_redis_excuses_only_what_it_erased() {
        let points = |seconds| (seconds, ViolationKind::PointsExceeded, "/a");
        let inside = |seconds| (seconds, ViolationKind::InsidePause, "/a");
        let name = (1, ViolationKind::DuplicateName, "/a");
        let all = ledger(&[points(60), points(70), inside(4), inside(9), name]);
        assert_eq!(left(&all, &[(at(0), at(0))]), 3);
    }

    #[test]
    fn a_void_token_is_sent_by_each_process_once_after_it_was_to_be_heard_of() {
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
        assert_eq!(left(&all, &[]), 1, "what came before it");
        all.violations.push_back(all.violations[6].clone());
        assert_eq!(left(&all, &[]), 2, "one more than there are processes");
    }
}
