//! Responses that the callers received.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use uuid::Uuid;

use crate::{
    canary_search::CanarySearch,
    client::{Answer, Ask},
};

/// Most lines kept of one kind.
const MAX_LINES: usize = 200;

/// Counts shared by all callers.
#[derive(Debug, Default)]
pub(crate) struct ResponseCounts(Mutex<Counts>);

/// Counted responses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Operations by kind.
    pub(crate) operations: BTreeMap<&'static str, usize>,
    /// Requests by status and code.
    pub(crate) answers: BTreeMap<String, usize>,
    /// Requests without a response.
    pub(crate) hangups: usize,
    /// Accepted jobs with their idempotency keys.
    pub(crate) accepted: HashMap<Uuid, String>,
    /// Keys whose sender never learned the outcome.
    pub(crate) unknown: Vec<String>,
    /// Hashes of the configs handed out, by job.
    pub(crate) configs: HashMap<Uuid, HashSet<u64>>,
    /// Number of hand-outs.
    pub(crate) handed_out: usize,
    /// Hand-outs that contained the canary, as all must.
    pub(crate) recognised: usize,
    /// Refused unauthorised requests for a config.
    pub(crate) turned_away: usize,
    /// Requests without a key and with an unknown outcome, which were not repeated.
    pub(crate) unclear: usize,
    /// Violations seen by a caller.
    pub(crate) broken: Vec<String>,
    /// Responses that contained the canary.
    pub(crate) leaks: Vec<String>,
}

impl ResponseCounts {
    /// Returns everything so far.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// Returns the number of operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.lock().operations.values().sum()
    }

    pub(crate) fn record_operation(&self, what: &'static str) {
        *self.lock().operations.entry(what).or_default() += 1;
    }

    pub(crate) fn record_hangup(&self, _error: &reqwest::Error) {
        self.lock().hangups += 1;
    }

    pub(crate) fn record_unclear(&self) {
        self.lock().unclear += 1;
    }

    pub(crate) fn record_leak(&self, text: String) {
        self.lock().leaks.push(text);
    }

    pub(crate) fn record_unknown_key(&self, key: &str) {
        self.lock().unknown.push(key.to_owned());
    }

    /// Counts a response; one outside the contract is a violation.
    pub(crate) fn record_response(&self, ask: &Ask<'_>, answer: &Answer) {
        let mut counts = self.lock();
        let line = format!("{} {}", answer.status, answer.code()).trim_end().to_owned();
        *counts.answers.entry(line).or_default() += 1;
        let problem = !answer.code().is_empty();
        let fault = answer.status == 500 && answer.code() != "job_poisoned";
        if fault || (answer.status >= 400 && !problem) {
            counts.add_violation(format!(
                "{} {} answered {} {}",
                ask.method, ask.path, answer.status, answer.body
            ));
        }
    }

    /// Records the job accepted for a key: it must always be the same.
    pub(crate) fn record_accepted(&self, key: &str, job: Uuid) {
        let mut counts = self.lock();
        if counts.accepted.insert(job, key.to_owned()).is_some_and(|before| before != key) {
            counts.add_violation(format!("job {job} was answered to two keys, one of them {key}"));
        }
    }

    /// Records a job that several callers may share.
    pub(crate) fn record_shared_job(&self, what: &str, job: Uuid) {
        self.lock().accepted.entry(job).or_insert_with(|| what.to_owned());
    }

    /// Records the response to an unauthorised request for a config.
    pub(crate) fn record_stranger_response(&self, job: Uuid, answer: &Answer) {
        let mut counts = self.lock();
        if matches!((answer.status, answer.code()), (403, "credential_denied") | (404, "not_found")) {
            counts.turned_away += 1;
        } else {
            counts.add_violation(format!(
                "a stranger who wanted the config of {job} was answered {} {}",
                answer.status,
                answer.code()
            ));
        }
    }

    pub(crate) fn record_violation(&self, text: String) {
        self.lock().add_violation(text);
    }

    /// Records a hand-out.
    pub(crate) fn record_config(&self, job: Uuid, body: &Value, needles: &CanarySearch) {
        let mut counts = self.lock();
        let Some(blob) = body["encoded_jit_config"].as_str() else {
            counts.add_violation(format!("job {job} was answered without a config"));
            return;
        };
        let mut hash = DefaultHasher::new();
        blob.hash(&mut hash);
        counts.configs.entry(job).or_default().insert(hash.finish());
        counts.recognised += usize::from(needles.in_text(blob));
        counts.handed_out += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn add_violation(&mut self, text: String) {
        if self.broken.len() < MAX_LINES {
            self.broken.push(text);
        }
    }
}
