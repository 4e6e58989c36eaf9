//! What Redis holds, read at one moment: no canary, and counters that equal a recount of the jobs beside them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use redis::Script;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{canary_search::CanarySearch, environment::Environment};

static DUMP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("dump.lua")));

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Most lines kept of one sort.
const MOST: usize = 50;
/// What every key of the queue begins with.
const PREFIX: &str = "{rts}:";
/// Kinds of keys that hold jobs or counts of jobs; see `crates/queue/scripts/lib/common.lua`.
const OF_JOBS: [&str; 8] = ["job", "aside", "ready", "accepted", "overdue", "delayed", "leased", "counts"];

/// Every key and its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisSnapshot(Vec<(String, Vec<String>)>);

impl RedisSnapshot {
    /// Reads it all in one step.
    pub(crate) async fn read(stage: &Environment) -> redis::RedisResult<Self> {
        let mut connection = stage.redis.get_multiplexed_async_connection().await?;
        let rows: Vec<(Vec<u8>, Vec<Vec<u8>>)> = DUMP.prepare_invoke().invoke_async(&mut connection).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self(rows.into_iter().map(|(key, of)| (text(key), of.into_iter().map(text).collect())).collect()))
    }

    /// Keys, and the text of each with its values.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(key, values)| (key.as_str(), format!("{key} {}", values.join(" "))))
    }

    /// Keys that hold jobs or counts of jobs.
    pub(crate) fn of_jobs(&self) -> Vec<String> {
        self.parts()
            .filter(|(kind, ..)| OF_JOBS.contains(kind))
            .map(|(_, _, key, _)| key.to_owned())
            .collect()
    }

    /// How many jobs there are.
    pub(crate) fn jobs(&self) -> usize {
        self.parts().filter(|(kind, ..)| *kind == "job").count()
    }

    /// Counters and sets that do not say what the jobs' own hashes say.
    pub(crate) fn miscounts(&self) -> Vec<String> {
        let (told, real) = (self.told(), self.real());
        let names: BTreeSet<&String> = told.keys().chain(real.keys()).collect();
        let count = |of: &BTreeMap<String, i64>, name: &String| of.get(name).copied().unwrap_or(0);
        names
            .into_iter()
            .filter(|name| count(&told, name) != count(&real, name))
            .map(|name| format!("{name} is {} and counts {}", count(&real, name), count(&told, name)))
            .collect()
    }

    /// What counters say, and how many members each set has.
    fn told(&self) -> BTreeMap<String, i64> {
        let mut told = BTreeMap::new();
        for (kind, rest, _, values) in self.parts() {
            match kind {
                "counts" => told.extend(
                    pairs(values)
                        .map(|(field, value)| (format!("{rest} {field}"), value.parse().unwrap_or(-1))),
                ),
                "accepted" | "delayed" | "leased" => {
                    told.insert(format!("{rest} {}", &kind[..1]), members(values));
                }
                // Ready, or aside because the team runs all it may.
                "ready" => *told.entry(format!("{rest} r")).or_default() += members(values),
                "aside" => {
                    let lane = rest.rsplit_once(':').map_or(rest, |(lane, _)| lane);
                    *told.entry(format!("{lane} r")).or_default() += members(values);
                }
                _ => {}
            }
        }
        told
    }

    /// The same, counted from the hash of each job; what stands aside from its set alone.
    fn real(&self) -> BTreeMap<String, i64> {
        let mut real: BTreeMap<String, i64> = BTreeMap::new();
        for (kind, rest, _, values) in self.parts() {
            if kind == "aside" {
                let mut parts = rest.split(':');
                let (installation, team) = (parts.next().unwrap_or(""), parts.nth(1).unwrap_or(""));
                *real.entry(format!("{installation} a:{team}")).or_default() += members(values);
            } else if kind == "job" {
                let field = |name: &str| {
                    pairs(values).find(|(field, _)| *field == name).map_or("?", |(_, value)| value)
                };
                let (installation, lane, place) = (field("i"), field("l"), field("s"));
                let counter = if place == "l" { "r" } else { "w" };
                *real.entry(format!("{installation} {counter}:{}", field("t"))).or_default() += 1;
                *real.entry(format!("{installation}:{lane} {place}")).or_default() += 1;
                if place == "r" {
                    *real.entry(format!("{installation}:{lane} a")).or_default() += 1;
                }
            }
        }
        real
    }

    /// Kind, rest of the name, whole name and values of every key of the queue.
    fn parts(&self) -> impl Iterator<Item = (&str, &str, &str, &[String])> {
        self.0.iter().filter_map(|(key, values)| {
            let (kind, rest) = key.strip_prefix(PREFIX)?.split_once(':')?;
            Some((kind, rest, key.as_str(), values.as_slice()))
        })
    }
}

fn pairs(values: &[String]) -> impl Iterator<Item = (&str, &str)> {
    values.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()))
}

/// Of a sorted set with its scores.
fn members(values: &[String]) -> i64 {
    i64::try_from(values.len() / 2).unwrap_or(i64::MAX)
}

/// What was seen inside while the run lasted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks {
    /// Texts the canary was looked for in.
    pub(crate) searched: usize,
    /// Where it was found.
    pub(crate) leaks: Vec<String>,
    /// Looks at counters with at least one job to count.
    pub(crate) counted: usize,
    /// Counters that did not equal a recount.
    pub(crate) miscounts: Vec<String>,
}

impl Looks {
    fn take(&mut self, inside: &RedisSnapshot, needles: &CanarySearch, at: Duration) {
        let at = at.as_secs_f64();
        for (key, text) in inside.texts() {
            self.searched += 1;
            if needles.in_text(&text) && self.leaks.len() < MOST {
                self.leaks.push(format!("{at:.3} s: redis key {key}"));
            }
        }
        self.counted += usize::from(inside.jobs() > 0);
        let room = MOST.saturating_sub(self.miscounts.len());
        let found = inside.miscounts().into_iter().map(|text| format!("{at:.3} s: {text}"));
        self.miscounts.extend(found.take(room));
    }
}

/// Looks until dropped.
pub(crate) struct SnapshotWatcher {
    looks: Arc<Mutex<Looks>>,
    task: JoinHandle<()>,
}

impl SnapshotWatcher {
    pub(crate) fn start(stage: Arc<Environment>) -> Self {
        let looks = Arc::<Mutex<Looks>>::default();
        let task = tokio::spawn(keep_looking(stage, looks.clone()));
        Self { looks, task }
    }

    pub(crate) fn looks(&self) -> Looks {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for SnapshotWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_looking(stage: Arc<Environment>, looks: Arc<Mutex<Looks>>) {
    let needles = CanarySearch::of(&stage.canary);
    loop {
        // Redis may be away, or on its way back.
        if let Ok(Ok(inside)) = timeout(LOOK, RedisSnapshot::read(&stage)).await {
            let at = stage.log.elapsed();
            looks.lock().unwrap_or_else(PoisonError::into_inner).take(&inside, &needles, at);
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(rows: &[(&str, &[&str])]) -> RedisSnapshot {
        let text = |text: &&str| (*text).to_owned();
        RedisSnapshot(
            rows.iter().map(|(key, of)| (format!("{PREFIX}{key}"), of.iter().map(text).collect())).collect(),
        )
    }

    #[test]
    fn correct_counters_give_no_miscount() {
        let jobs = inside(&[
            ("job:1", &["i", "x", "l", "drift", "t", "red", "s", "r"]),
            ("job:2", &["i", "x", "l", "drift", "t", "red", "s", "r"]),
            ("job:3", &["i", "x", "l", "drift", "t", "red", "s", "l"]),
            ("ready:x:drift", &["1", "0.5"]),
            ("aside:x:drift:red", &["2", "0.5"]),
            ("accepted:x:drift", &["1", "5", "2", "6"]),
            ("overdue:x:drift", &["1", "5"]),
            ("leased:x:drift", &["3", "9"]),
            ("counts:x", &["w:red", "2", "r:red", "1", "a:red", "1"]),
            ("epoch", &["z"]),
        ]);
        assert_eq!(jobs.miscounts(), Vec::<String>::new());
        assert_eq!((jobs.jobs(), jobs.of_jobs().len()), (3, 9));
    }

    #[test]
    fn left_over_keys_are_miscounts() {
        let left = inside(&[
            ("counts:x", &["w:red", "1"]),
            ("leased:x:drift", &["3", "9"]),
            ("limits:x", &["mr", "90"]),
        ]);
        assert_eq!(left.miscounts().len(), 2);
        assert_eq!(left.of_jobs(), ["{rts}:counts:x", "{rts}:leased:x:drift"]);
    }
}
