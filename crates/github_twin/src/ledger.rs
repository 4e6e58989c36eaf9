//! What happened: every request, and everything a well-behaved client would not have done.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One request as the twin saw it. Holds no token and no body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 1 since the start or the last reset.
    pub seq: u64,
    /// Arrival, on the twin's clock.
    pub at: DateTime<Utc>,
    /// HTTP method.
    pub method: String,
    /// Path as sent, without the base path and the query.
    pub path: String,
    /// Path template, such as `/orgs/{org}/actions/runners`; empty for unknown paths.
    pub template: String,
    /// Installation whose token came with it.
    pub installation: Option<u64>,
    /// Status answered; 0 when the connection was closed without an answer.
    pub status: u16,
    /// `x-github-request-id` of the answer.
    pub request_id: String,
    /// `User-Agent` of the caller.
    pub user_agent: String,
    /// Name of the fault that shaped the answer.
    pub fault: Option<String>,
    /// Size of the request body.
    pub bytes_in: usize,
    /// Size of the answer's body.
    pub bytes_out: usize,
}

/// What a client did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// A request while a `retry-after` or a secondary pause was running.
    InsidePause,
    /// A request after an answer had said that nothing remains of the window.
    WindowExhausted,
    /// More than the points per minute of one endpoint.
    PointsExceeded,
    /// More requests at once than allowed.
    ConcurrencyExceeded,
    /// More runner registrations than allowed.
    RegistrationsExceeded,
    /// More content-creating requests than allowed.
    ContentExceeded,
    /// A JIT config asked for under a name that exists.
    DuplicateName,
    /// A token nobody issued, or an App JWT that does not hold.
    BadToken,
    /// A token past its life, or forgotten by a fault.
    ExpiredToken,
    /// No `User-Agent`.
    NoUserAgent,
    /// An `X-GitHub-Api-Version` that does not exist.
    UnknownApiVersion,
}

/// One violation and the request it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// On the twin's clock.
    pub at: DateTime<Utc>,
    /// What was wrong.
    pub kind: ViolationKind,
    /// `x-github-request-id` of the answer.
    pub request_id: String,
    /// For people.
    pub detail: String,
}

/// Counters since the start or the last reset; never cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// All requests.
    pub requests: u64,
    /// By status; 0 = closed without an answer.
    pub by_status: BTreeMap<u16, u64>,
    /// By `METHOD template`.
    pub by_operation: BTreeMap<String, u64>,
    /// By kind.
    pub violations: BTreeMap<ViolationKind, u64>,
    /// Most requests seen at once.
    pub most_at_once: u32,
    /// Entries that no longer fit.
    pub forgotten: u64,
}

/// A copy of the ledger.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Requests, oldest first, in the order in which they were answered.
    pub entries: VecDeque<Entry>,
    /// Violations, oldest first.
    pub violations: VecDeque<Violation>,
    /// Counters.
    pub summary: Summary,
    #[serde(skip)]
    capacity: usize,
}

impl Ledger {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), ..Self::default() }
    }

    pub(crate) fn record(&mut self, mut entry: Entry) {
        let sum = &mut self.summary;
        sum.requests += 1;
        entry.seq = sum.requests;
        *sum.by_status.entry(entry.status).or_default() += 1;
        let known = if entry.template.is_empty() { "(unknown)" } else { entry.template.as_str() };
        *sum.by_operation.entry(format!("{} {known}", entry.method)).or_default() += 1;
        if self.entries.len() >= self.capacity {
            self.entries.pop_front();
            sum.forgotten += 1;
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn violate(&mut self, violation: Violation) {
        *self.summary.violations.entry(violation.kind).or_default() += 1;
        if self.violations.len() >= self.capacity {
            self.violations.pop_front();
        }
        self.violations.push_back(violation);
    }

    pub(crate) fn at_once(&mut self, now: u32) {
        self.summary.most_at_once = self.summary.most_at_once.max(now);
    }

    /// Requests of one operation, by method and a part of the template.
    pub fn of<'a>(&'a self, method: &'a str, part: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |e| e.method == method && e.template.contains(part))
    }

    /// How often this was done wrong.
    pub fn count(&self, kind: ViolationKind) -> u64 {
        self.summary.violations.get(&kind).copied().unwrap_or(0)
    }
}
