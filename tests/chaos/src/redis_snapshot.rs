//! Contents of Redis at one moment, searched for the canary, with its counters checked against the jobs.

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

/// Time between two snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// Most lines kept of one kind.
const MAX_LINES: usize = 50;
/// Prefix of every key of the queue.
const PREFIX: &str = "{rts}:";
/// Kinds of keys that hold jobs or counts of jobs; see `crates/queue/scripts/lib/common.lua`.
const JOB_KEY_KINDS: [&str; 8] =
    ["job", "aside", "ready", "accepted", "overdue", "delayed", "leased", "counts"];

/// Every key and its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisSnapshot(Vec<(String, Vec<String>)>);

impl RedisSnapshot {
    /// Reads all keys in one step.
    pub(crate) async fn read(environment: &Environment) -> redis::RedisResult<Self> {
        let mut connection = environment.redis.get_multiplexed_async_connection().await?;
        let rows: Vec<(Vec<u8>, Vec<Vec<u8>>)> = DUMP.prepare_invoke().invoke_async(&mut connection).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self(rows.into_iter().map(|(key, of)| (text(key), of.into_iter().map(text).collect())).collect()))
    }

    /// Returns each key, with its values as text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(key, values)| (key.as_str(), format!("{key} {}", values.join(" "))))
    }

    /// Returns the keys that hold jobs or counts of jobs.
    pub(crate) fn of_jobs(&self) -> Vec<String> {
        self.entries()
            .filter(|(kind, ..)| JOB_KEY_KINDS.contains(kind))
            .map(|(_, _, key, _)| key.to_owned())
            .collect()
    }

    /// Returns the number of jobs.
    pub(crate) fn jobs(&self) -> usize {
        self.entries().filter(|(kind, ..)| *kind == "job").count()
    }

    /// Returns the counters and sets that differ from a count of the job hashes.
    pub(crate) fn miscounts(&self) -> Vec<String> {
        let (recorded, recounted) = (self.recorded(), self.recounted());
        let names: BTreeSet<&String> = recorded.keys().chain(recounted.keys()).collect();
        let count = |of: &BTreeMap<String, i64>, name: &String| of.get(name).copied().unwrap_or(0);
        names
            .into_iter()
            .filter(|name| count(&recorded, name) != count(&recounted, name))
            .map(|name| {
                format!("{name} is {} and counts {}", count(&recounted, name), count(&recorded, name))
            })
            .collect()
    }

    /// Returns the values of the counters and the sizes of the sets.
    fn recorded(&self) -> BTreeMap<String, i64> {
        let mut recorded = BTreeMap::new();
        for (kind, rest, _, values) in self.entries() {
            match kind {
                "counts" => recorded.extend(
                    pairs(values)
                        .map(|(field, value)| (format!("{rest} {field}"), value.parse().unwrap_or(-1))),
                ),
                "accepted" | "delayed" | "leased" => {
                    recorded.insert(format!("{rest} {}", &kind[..1]), member_count(values));
                }
                // Jobs that are ready, or parked because the team runs its maximum.
                "ready" => *recorded.entry(format!("{rest} r")).or_default() += member_count(values),
                "aside" => {
                    let lane = rest.rsplit_once(':').map_or(rest, |(lane, _)| lane);
                    *recorded.entry(format!("{lane} r")).or_default() += member_count(values);
                }
                _ => {}
            }
        }
        recorded
    }

    /// Returns the expected values, counted from the hash of each job; parked jobs from their set alone.
    fn recounted(&self) -> BTreeMap<String, i64> {
        let mut recounted: BTreeMap<String, i64> = BTreeMap::new();
        for (kind, rest, _, values) in self.entries() {
            if kind == "aside" {
                let mut parts = rest.split(':');
                let (installation, team) = (parts.next().unwrap_or(""), parts.nth(1).unwrap_or(""));
                *recounted.entry(format!("{installation} a:{team}")).or_default() += member_count(values);
            } else if kind == "job" {
                let field = |name: &str| {
                    pairs(values).find(|(field, _)| *field == name).map_or("?", |(_, value)| value)
                };
                let (installation, lane, place) = (field("i"), field("l"), field("s"));
                let counter = if place == "l" { "r" } else { "w" };
                *recounted.entry(format!("{installation} {counter}:{}", field("t"))).or_default() += 1;
                *recounted.entry(format!("{installation}:{lane} {place}")).or_default() += 1;
                if place == "r" {
                    *recounted.entry(format!("{installation}:{lane} a")).or_default() += 1;
                }
            }
        }
        recounted
    }

    /// Returns kind, rest of the name, whole name and values of every key of the queue.
    fn entries(&self) -> impl Iterator<Item = (&str, &str, &str, &[String])> {
        self.0.iter().filter_map(|(key, values)| {
            let (kind, rest) = key.strip_prefix(PREFIX)?.split_once(':')?;
            Some((kind, rest, key.as_str(), values.as_slice()))
        })
    }
}

fn pairs(values: &[String]) -> impl Iterator<Item = (&str, &str)> {
    values.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()))
}

/// Returns the size of a sorted set that was read with its scores.
fn member_count(values: &[String]) -> i64 {
    i64::try_from(values.len() / 2).unwrap_or(i64::MAX)
}

/// Results of the snapshots during a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks {
    /// Number of texts searched for the canary.
    pub(crate) searched: usize,
    /// Places where the canary was found.
    pub(crate) leaks: Vec<String>,
    /// Snapshots with at least one job.
    pub(crate) counted: usize,
    /// Counters that differed from a recount.
    pub(crate) miscounts: Vec<String>,
}

impl Looks {
    fn add_snapshot(&mut self, inside: &RedisSnapshot, needles: &CanarySearch, at: Duration) {
        let at = at.as_secs_f64();
        for (key, text) in inside.texts() {
            self.searched += 1;
            if needles.in_text(&text) && self.leaks.len() < MAX_LINES {
                self.leaks.push(format!("{at:.3} s: redis key {key}"));
            }
        }
        self.counted += usize::from(inside.jobs() > 0);
        let room = MAX_LINES.saturating_sub(self.miscounts.len());
        let found = inside.miscounts().into_iter().map(|text| format!("{at:.3} s: {text}"));
        self.miscounts.extend(found.take(room));
    }
}

/// Takes snapshots until dropped.
pub(crate) struct SnapshotWatcher {
    looks: Arc<Mutex<Looks>>,
    task: JoinHandle<()>,
}

impl SnapshotWatcher {
    pub(crate) fn start(environment: Arc<Environment>) -> Self {
        let looks = Arc::<Mutex<Looks>>::default();
        let task = tokio::spawn(take_snapshots(environment, looks.clone()));
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

async fn take_snapshots(environment: Arc<Environment>, looks: Arc<Mutex<Looks>>) {
    let needles = CanarySearch::of(&environment.canary);
    loop {
        // Redis may be down or restarting.
        if let Ok(Ok(inside)) = timeout(SNAPSHOT_INTERVAL, RedisSnapshot::read(&environment)).await {
            let at = environment.log.elapsed();
            looks.lock().unwrap_or_else(PoisonError::into_inner).add_snapshot(&inside, &needles, at);
        }
        sleep(SNAPSHOT_INTERVAL).await;
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
