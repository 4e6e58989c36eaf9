//! Live values for the shell's completion: teams, labels, runners and jobs that the caller may see.
//!
//! A shell waits for them, so they come from a cache of a minute or from one request of at most 300 ms. A failure is an
//! empty list, since a completion has no place for an error.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use clap_complete::{ArgValueCandidates, CompletionCandidate};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    args::CommonArgs,
    connection::{read_bounded, replace_private_file_at_once},
    output::{plain, scalar},
    session::Session,
};

/// Longest time of the request.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(300);
/// Age up to which remembered values are offered.
const MAX_AGE: TimeDelta = TimeDelta::seconds(60);
/// Most values of one kind.
const MAX_VALUES: usize = 200;

/// Values of one request, as the cache remembers them.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Remembered {
    at: DateTime<Utc>,
    values: Vec<String>,
}

/// A list of the API whose members are values of arguments.
#[derive(Clone, Copy)]
struct List {
    path: &'static [&'static str],
    limited: bool,
    key: &'static str,
    member: &'static str,
}

/// Completes names of teams.
pub(crate) fn teams() -> ArgValueCandidates {
    const LIST: List = List { path: &["teams", "my-teams"], limited: false, key: "teams", member: "name" };
    ArgValueCandidates::new(|| candidates(LIST))
}

/// Completes labels that the caller's teams require.
pub(crate) fn labels() -> ArgValueCandidates {
    const LIST: List =
        List { path: &["teams", "my-teams"], limited: false, key: "teams", member: "required_labels" };
    ArgValueCandidates::new(|| candidates(LIST))
}

/// Completes names of runners.
pub(crate) fn runners() -> ArgValueCandidates {
    const LIST: List = List { path: &["runners"], limited: true, key: "runners", member: "runner_name" };
    ArgValueCandidates::new(|| candidates(LIST))
}

/// Completes ids of jobs.
pub(crate) fn jobs() -> ArgValueCandidates {
    const LIST: List = List { path: &["jobs"], limited: true, key: "jobs", member: "job_id" };
    ArgValueCandidates::new(|| candidates(LIST))
}

fn candidates(list: List) -> Vec<CompletionCandidate> {
    values(list).unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the values from the cache or the service.
fn values(list: List) -> Option<Vec<String>> {
    let session = Session::open(&CommonArgs::default()).ok()?;
    let cache = Cache::open(&session);
    let place = format!("{}|{}|{}", session.client.url.as_str(), session.source(), list.path.join("/"));
    let place = format!("{place}#{}", list.member);
    if let Some(values) = cache.get(&place) {
        return Some(values);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let fetched =
        runtime.block_on(async { tokio::time::timeout(REQUEST_TIMEOUT, fetch(&session, list)).await });
    let values = fetched.ok().flatten()?;
    cache.put(place, &values);
    Some(values)
}

async fn fetch(session: &Session, list: List) -> Option<Vec<String>> {
    let request = session.client.request(Method::GET, list.path);
    let request = request.query("limit", list.limited.then_some(MAX_VALUES));
    let body = session.client.send(request).await.ok()?.body;
    let mut values: Vec<String> = Vec::new();
    for item in body[list.key].as_array()? {
        match &item[list.member] {
            Value::Array(several) => values.extend(several.iter().map(scalar)),
            one => values.push(scalar(one)),
        }
    }
    // A shell splits and expands what it completes.
    values.retain(|value| is_plain_word(value));
    values.sort_unstable();
    values.dedup();
    values.truncate(MAX_VALUES);
    Some(values)
}

fn is_plain_word(value: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
    !value.is_empty() && value.chars().all(allowed) && plain(value) == value
}

/// File of remembered values.
struct Cache {
    path: Option<PathBuf>,
    known: BTreeMap<String, Remembered>,
}

impl Cache {
    fn open(session: &Session) -> Self {
        let path = session.environment.state_folder().map(|folder| folder.join("completion.json"));
        let text = path.as_ref().and_then(|path| read_bounded(path).ok().flatten());
        let known = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self { path, known }
    }

    fn get(&self, place: &str) -> Option<Vec<String>> {
        let known = self.known.get(place)?;
        let age = Utc::now() - known.at;
        (age >= TimeDelta::zero() && age < MAX_AGE).then(|| known.values.clone())
    }

    fn put(mut self, place: String, values: &[String]) {
        let now = Utc::now();
        self.known.retain(|_, known| now - known.at < MAX_AGE);
        self.known.insert(place, Remembered { at: now, values: values.to_vec() });
        if let (Some(path), Ok(text)) = (&self.path, serde_json::to_string(&self.known)) {
            // Without a cache the next completion asks again.
            let _ = replace_private_file_at_once(path, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_a_shell_leaves_alone_are_offered() {
        for good in ["web", "ci-7f3a", "ada@example.com", "größe"] {
            assert!(is_plain_word(good), "{good}");
        }
        for bad in ["", "a b", "$(id)", "`id`", "a;b", "a\u{202e}b", "*", "a'b"] {
            assert!(!is_plain_word(bad), "{bad}");
        }
    }
}
