//! What the callers were told.

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

/// Most lines kept of one sort.
const MOST: usize = 200;

/// Shared by all callers.
#[derive(Debug, Default)]
pub(crate) struct ResponseCounts(Mutex<Counts>);

/// Everything they were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Operations by what they were.
    pub(crate) operations: BTreeMap<&'static str, usize>,
    /// Requests by status and code.
    pub(crate) answers: BTreeMap<String, usize>,
    /// Requests without an answer.
    pub(crate) hangups: usize,
    /// Accepted jobs, and the key each was asked for with.
    pub(crate) accepted: HashMap<Uuid, String>,
    /// Keys whose sender never learned what became of them.
    pub(crate) unknown: Vec<String>,
    /// For every job the configs handed out, as hashes.
    pub(crate) configs: HashMap<Uuid, HashSet<u64>>,
    /// Hand-outs.
    pub(crate) handed_out: usize,
    /// Those of them in which the canary was found, as it must be.
    pub(crate) recognised: usize,
    /// Refusals of strangers who wanted a config.
    pub(crate) turned_away: usize,
    /// Requests without a key that nobody knows the end of, and so were not sent again.
    pub(crate) unclear: usize,
    /// Broken promises seen by a caller.
    pub(crate) broken: Vec<String>,
    /// Answers that held the canary.
    pub(crate) leaks: Vec<String>,
}

impl ResponseCounts {
    /// Everything so far.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// How many operations so far.
    pub(crate) fn count(&self) -> usize {
        self.lock().operations.values().sum()
    }

    pub(crate) fn operation(&self, what: &'static str) {
        *self.lock().operations.entry(what).or_default() += 1;
    }

    pub(crate) fn hangup(&self, _error: &reqwest::Error) {
        self.lock().hangups += 1;
    }

    pub(crate) fn unclear(&self) {
        self.lock().unclear += 1;
    }

    pub(crate) fn leak(&self, text: String) {
        self.lock().leaks.push(text);
    }

    pub(crate) fn unknown(&self, key: &str) {
        self.lock().unknown.push(key.to_owned());
    }

    /// Counts an answer; one that no caller should ever see is a broken promise.
    pub(crate) fn answered(&self, ask: &Ask<'_>, answer: &Answer) {
        let mut told = self.lock();
        let line = format!("{} {}", answer.status, answer.code()).trim_end().to_owned();
        *told.answers.entry(line).or_default() += 1;
        let problem = !answer.code().is_empty();
        let fault = answer.status == 500 && answer.code() != "job_poisoned";
        if fault || (answer.status >= 400 && !problem) {
            told.breaks(format!("{} {} answered {} {}", ask.method, ask.path, answer.status, answer.body));
        }
    }

    /// A job was accepted for a key: always the same one.
    pub(crate) fn accepted(&self, key: &str, job: Uuid) {
        let mut told = self.lock();
        if told.accepted.insert(job, key.to_owned()).is_some_and(|before| before != key) {
            told.breaks(format!("job {job} was answered to two keys, one of them {key}"));
        }
    }

    /// A job that may be the same for several who asked.
    pub(crate) fn joined(&self, what: &str, job: Uuid) {
        self.lock().accepted.entry(job).or_insert_with(|| what.to_owned());
    }

    /// A stranger's try to get a config was answered.
    pub(crate) fn intruded(&self, job: Uuid, answer: &Answer) {
        let mut told = self.lock();
        if matches!((answer.status, answer.code()), (403, "credential_denied") | (404, "not_found")) {
            told.turned_away += 1;
        } else {
            told.breaks(format!(
                "a stranger who wanted the config of {job} was answered {} {}",
                answer.status,
                answer.code()
            ));
        }
    }

    pub(crate) fn broke(&self, text: String) {
        self.lock().breaks(text);
    }

    /// A config was handed out.
    pub(crate) fn config(&self, job: Uuid, body: &Value, needles: &CanarySearch) {
        let mut told = self.lock();
        let Some(blob) = body["encoded_jit_config"].as_str() else {
            told.breaks(format!("job {job} was answered without a config"));
            return;
        };
        let mut hash = DefaultHasher::new();
        blob.hash(&mut hash);
        told.configs.entry(job).or_default().insert(hash.finish());
        told.recognised += usize::from(needles.in_text(blob));
        told.handed_out += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn breaks(&mut self, text: String) {
        if self.broken.len() < MOST {
            self.broken.push(text);
        }
    }
}
