//! Checks of PostgreSQL and Redis.

use chrono::{DateTime, Utc};
use domain::error_chain;
use queue::{Queue, RedisFacts};
use store::{ChangedSorting, DatabaseFacts, Schema, Store, StoreError};

use super::{Finding, compare_clock};

/// Oldest version of PostgreSQL that the tests run on, as the server numbers it.
const OLDEST_POSTGRES: i32 = 150_000;
/// Oldest version of Redis whose commands the scripts use.
const OLDEST_REDIS: (u32, u32) = (6, 2);

/// Returns the finding about a server that did not answer in time.
pub(super) fn slow(group: &'static str, setting: &str) -> Finding {
    let repair = format!("Look at the load of the server that {setting} names, and at the network to it.");
    Finding::fail(group, "the server did not answer in 10 s", repair)
}

/// Checks the database. Returns whether its tables can be read.
pub(super) async fn postgres(store: &Store, now: &impl Fn() -> DateTime<Utc>) -> (Vec<Finding>, bool) {
    match try_postgres(store, now).await {
        Ok(examined) => examined,
        Err(error) => {
            let detail = format!("PostgreSQL cannot be used: {}", error_chain(&error));
            let repair = match error {
                StoreError::Unavailable(_) => {
                    "Check host, port, database, user and password of DATABASE_URL, and that the server runs."
                }
                _ => {
                    "Read the message; if it names a missing right, run `rts init-db --app-role ROLE` as the owner of the tables."
                }
            };
            (vec![Finding::fail("postgres", detail, repair)], false)
        }
    }
}

async fn try_postgres(
    store: &Store,
    now: &impl Fn() -> DateTime<Utc>,
) -> Result<(Vec<Finding>, bool), StoreError> {
    let before = now();
    let theirs = store.now().await?;
    let ours = before + (now() - before) / 2;
    let mut findings = vec![compare_clock("PostgreSQL", ours, theirs)];
    if !store.has_tables().await? {
        let repair = "Run `rts init-db` as the role that shall own the tables.";
        findings.push(Finding::fail("postgres", "the database has no tables", repair));
        return Ok((findings, false));
    }
    match store.schema().await? {
        Schema::Ready => findings.push(Finding::ok("postgres", "the tables are up to date")),
        Schema::Older { missing, first } => {
            let detail = format!("{missing} migrations from number {first} on are missing");
            findings.push(Finding::fail(
                "postgres",
                detail,
                "Run `rts init-db` of this version as the owner of the tables.",
            ));
            return Ok((findings, false));
        }
    }
    findings.extend(judge_database(&store.facts().await?));
    Ok((findings, true))
}

/// Judges the server and the role.
fn judge_database(facts: &DatabaseFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let version = facts.version / 10_000;
    if facts.version < OLDEST_POSTGRES {
        let detail = format!("PostgreSQL {version} is older than any version that is tested");
        findings.push(Finding::warn("postgres", detail, "Move to PostgreSQL 15 or newer."));
    } else {
        findings.push(Finding::ok("postgres", format!("PostgreSQL {version}")));
    }
    if facts.read_only {
        let repair = "Let DATABASE_URL name the primary, for example with target_session_attrs or a name that moves with it.";
        findings.push(Finding::fail("postgres", "the server takes no writes", repair));
    }
    if !facts.limits_statements {
        let repair = "Behind a pooler, set the limits for the role: ALTER ROLE … SET statement_timeout = '10s', and lock_timeout = '5s'.";
        findings.push(Finding::warn("postgres", "single statements have no time limit", repair));
    }
    if !facts.excess.is_empty() {
        let detail = format!("the role of DATABASE_URL {}", facts.excess.join(", and "));
        let repair = "Run `rts init-db --app-role ROLE` as the owner, and let the processes use that role.";
        findings.push(Finding::warn("postgres", detail, repair));
    }
    findings.extend(facts.sorting.as_ref().map(judge_sorting));
    findings
}

/// Returns the finding about indexes that another order of texts has made unreliable. Nothing depends on which order a
/// database has, only on that it stays.
fn judge_sorting(changed: &ChangedSorting) -> Finding {
    let ChangedSorting { database, recorded, actual } = changed;
    let actual =
        actual.as_deref().map_or("an unknown version".to_owned(), |actual| format!("version {actual}"));
    let detail = format!(
        "indexes of texts were built with version {recorded} of the collation, and the server sorts by {actual}: they may miss rows and accept duplicates"
    );
    let repair = format!(
        "As the owner of the database, run `REINDEX DATABASE CONCURRENTLY {database}`, remove any duplicate that it names, and then run `ALTER DATABASE {database} REFRESH COLLATION VERSION`."
    );
    Finding::fail("postgres", detail, repair)
}

/// Checks the queue's server.
pub(super) async fn redis(queue: &Queue, now: &impl Fn() -> DateTime<Utc>) -> Vec<Finding> {
    if let Err(error) = queue.ping().await {
        let detail = format!("Redis cannot be used: {}", error_chain(&error));
        let repair =
            "Check REDIS_URL and its login, that the server runs, is a primary, and has memory left.";
        return vec![Finding::fail("redis", detail, repair)];
    }
    let before = now();
    match queue.facts().await {
        Ok(facts) => {
            let ours = before + (now() - before) / 2;
            let theirs = DateTime::from_timestamp_micros(facts.unix_micros).unwrap_or(ours);
            let mut findings = vec![compare_clock("Redis", ours, theirs)];
            findings.extend(judge_redis(&facts));
            findings
        }
        Err(error) => {
            let detail = format!("Redis takes jobs, but cannot be examined: {}", error_chain(&error));
            vec![Finding::warn("redis", detail, "Allow INFO and TIME for the login of REDIS_URL.")]
        }
    }
}

fn judge_redis(facts: &RedisFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &facts.version {
        Some(version) if is_old(version) => {
            let detail = format!("Redis {version} is older than any version that works");
            findings.push(Finding::fail("redis", detail, "Move to Redis 6.2 or newer, or to Valkey."));
        }
        version => {
            let version = version.as_deref().unwrap_or("of unknown version");
            findings.push(Finding::ok("redis", format!("Redis {version} takes jobs")));
        }
    }
    if let Some(policy) = facts.maxmemory_policy.as_deref().filter(|policy| *policy != "noeviction") {
        let detail = format!("Redis drops keys when its memory is full ({policy})");
        findings.push(Finding::fail(
            "redis",
            detail,
            "Set maxmemory-policy to noeviction: a dropped key is a lost lease or budget.",
        ));
    }
    if facts.appends == Some(false) {
        let repair =
            "Set appendonly to yes. Without it the queue is refilled from PostgreSQL after each restart.";
        findings.push(Finding::warn("redis", "Redis does not append its writes to a file", repair));
    }
    if !facts.has_epoch {
        let repair = "Start `rts scheduler`, or read its log: it refills the queue and then marks it.";
        findings.push(Finding::fail(
            "redis",
            "the queue was never filled from PostgreSQL, or has lost its data",
            repair,
        ));
    }
    findings
}

fn is_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let release = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    release < OLDEST_REDIS
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    fn levels(findings: &[Finding]) -> Vec<Level> {
        findings.iter().map(|finding| finding.level).collect()
    }

    fn good_redis() -> RedisFacts {
        RedisFacts {
            version: Some("7.2.4".into()),
            maxmemory_policy: Some("noeviction".into()),
            appends: Some(true),
            unix_micros: 0,
            has_epoch: true,
        }
    }

    #[test]
    fn each_fault_of_redis_is_found() {
        assert_eq!(levels(&judge_redis(&good_redis())), [Level::Ok]);
        let old = RedisFacts { version: Some("5.0.14".into()), ..good_redis() };
        assert_eq!(levels(&judge_redis(&old)), [Level::Fail]);
        let evicting = RedisFacts { maxmemory_policy: Some("allkeys-lru".into()), ..good_redis() };
        assert_eq!(levels(&judge_redis(&evicting)), [Level::Ok, Level::Fail]);
        let volatile = RedisFacts { appends: Some(false), ..good_redis() };
        assert_eq!(levels(&judge_redis(&volatile)), [Level::Ok, Level::Warn]);
        let empty = RedisFacts { has_epoch: false, ..good_redis() };
        assert_eq!(levels(&judge_redis(&empty)), [Level::Ok, Level::Fail]);
    }

    #[test]
    fn each_fault_of_the_database_server_is_found() {
        let good = DatabaseFacts {
            version: 150_004,
            read_only: false,
            limits_statements: true,
            excess: Vec::new(),
            sorting: None,
        };
        assert_eq!(levels(&judge_database(&good)), [Level::Ok]);
        let old = DatabaseFacts { version: 140_011, ..good.clone() };
        assert_eq!(levels(&judge_database(&old)), [Level::Warn]);
        let replica = DatabaseFacts { read_only: true, ..good.clone() };
        assert_eq!(levels(&judge_database(&replica)), [Level::Ok, Level::Fail]);
        let unlimited = DatabaseFacts { limits_statements: false, ..good.clone() };
        assert_eq!(levels(&judge_database(&unlimited)), [Level::Ok, Level::Warn]);
        let owner = DatabaseFacts { excess: vec!["may create tables".into()], ..good.clone() };
        assert_eq!(levels(&judge_database(&owner)), [Level::Ok, Level::Warn]);
        let sorting =
            Some(ChangedSorting { database: "\"rts-1\"".into(), recorded: "2.31".into(), actual: None });
        let found = judge_database(&DatabaseFacts { sorting, ..good });
        assert_eq!(levels(&found), [Level::Ok, Level::Fail]);
        assert!(found[1].to_string().contains("CONCURRENTLY \"rts-1\"`"), "{}", found[1]);
    }

    #[test]
    fn what_is_not_ok_has_a_repair() {
        let facts = RedisFacts { version: Some("5".into()), appends: Some(false), ..RedisFacts::default() };
        let sorting =
            ChangedSorting { database: "rts".into(), recorded: "1".into(), actual: Some("2".into()) };
        let database = DatabaseFacts {
            version: 1,
            read_only: true,
            limits_statements: false,
            excess: vec!["x".into()],
            sorting: Some(sorting),
        };
        let all = [judge_redis(&facts), judge_database(&database)].concat();
        assert!(all.iter().all(|finding| finding.level == Level::Ok || finding.repair.is_some()));
    }
}
