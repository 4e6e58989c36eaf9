//! Record of every request and of every violation of GitHub's rules.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One request. Holds no token and no body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the request since the start or the last reset, from 1.
    pub seq: u64,
    /// Arrival, on the twin's clock.
    pub at: DateTime<Utc>,
    /// HTTP method.
    pub method: String,
    /// Path as sent, without the base path and the query.
    pub path: String,
    /// Path template, such as `/orgs/{org}/actions/runners`; empty for unknown paths.
    pub template: String,
    /// Installation of the request's token.
    pub installation: Option<u64>,
    /// Response status; 0 when the connection was closed without a response.
    pub status: u16,
    /// `x-github-request-id` of the response.
    pub request_id: String,
    /// `User-Agent` of the caller.
    pub user_agent: String,
    /// Name of the fault that changed the response.
    pub fault: Option<String>,
    /// Size of the request body.
    pub bytes_in: usize,
    /// Size of the response body.
    pub bytes_out: usize,
}

/// Kind of a violation by a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// A request while a `retry-after` or a secondary pause was running.
    InsidePause,
    /// A request after a response reported an exhausted window.
    WindowExhausted,
    /// More points per minute than one endpoint allows.
    PointsExceeded,
    /// More concurrent requests than allowed.
    ConcurrencyExceeded,
    /// More runner registrations than allowed.
    RegistrationsExceeded,
    /// More content-creating requests than allowed.
    ContentExceeded,
    /// A JIT config requested under an existing name.
    DuplicateName,
    /// An unknown token, or an invalid App JWT.
    BadToken,
    /// A token that has expired, or was expired by a fault.
    ExpiredToken,
    /// No `User-Agent`.
    NoUserAgent,
    /// An `X-GitHub-Api-Version` that does not exist.
    UnknownApiVersion,
}

/// One violation and the request it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// Time on the twin's clock.
    pub at: DateTime<Utc>,
    /// Kind of the violation.
    pub kind: ViolationKind,
    /// `x-github-request-id` of the response.
    pub request_id: String,
    /// Description for people.
    pub detail: String,
}

/// Counters since the start or the last reset; unlike the entries they are never cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of all requests.
    pub requests: u64,
    /// Requests by status; 0 means closed without a response.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests by `METHOD template`.
    pub by_operation: BTreeMap<String, u64>,
    /// Violations by kind.
    pub violations: BTreeMap<ViolationKind, u64>,
    /// Largest number of concurrent requests.
    pub most_at_once: u32,
    /// Number of entries dropped because the ledger was full.
    pub forgotten: u64,
}

/// A copy of the ledger.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Requests, oldest first, in the order of their responses.
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

    /// Returns the requests of one operation, by method and a part of the template.
    pub fn of<'a>(&'a self, method: &'a str, part: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |e| e.method == method && e.template.contains(part))
    }

    /// Returns the number of violations of a kind.
    pub fn count(&self, kind: ViolationKind) -> u64 {
        self.summary.violations.get(&kind).copied().unwrap_or(0)
    }
}
