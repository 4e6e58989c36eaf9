//! Checks of the servers and processes of the service. Each fault has the sentence that repairs it.
//!
//! The API runs these checks, and `rts doctor` runs them together with those of settings, files, issuers and GitHub.

mod fleet;
mod leaders;
mod servers;
mod sinks;
mod teams;

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use queue::Queue;
use store::Store;
use tokio::time::timeout;

/// Name of the lease of the scheduler that leads.
const SCHEDULER_LEASE: &str = "scheduler";
/// Longest time of one group of checks.
const GROUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Difference of two clocks that is a warning.
const CLOCK_WARNING: TimeDelta = TimeDelta::seconds(5);
/// Difference of two clocks that is a fault.
const CLOCK_FAULT: TimeDelta = TimeDelta::seconds(60);

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// The service works, but not as well or as safely as it could.
    Warn,
    /// A part of the service does not work.
    Fail,
}

impl Level {
    /// Returns the word in the API and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Group of the check: `clock`, `postgres`, `redis`, `processes`, …
    pub group: &'static str,
    /// How serious it is.
    pub level: Level,
    /// Finding, as a sentence without its full stop.
    pub detail: String,
    /// Sentence that says what to do. Every finding that is not `ok` has one.
    pub repair: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5} {:10} {}", self.level.as_str(), self.group, self.detail)?;
        match &self.repair {
            Some(repair) => write!(f, "\n        {repair}"),
            None => Ok(()),
        }
    }
}

impl Finding {
    /// Returns a finding that needs no repair.
    pub fn ok(group: &'static str, detail: impl Into<String>) -> Self {
        Self { group, level: Level::Ok, detail: detail.into(), repair: None }
    }

    /// Returns a warning and its repair.
    pub fn warn(group: &'static str, detail: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { group, level: Level::Warn, detail: detail.into(), repair: Some(repair.into()) }
    }

    /// Returns a fault and its repair.
    pub fn fail(group: &'static str, detail: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { group, level: Level::Fail, detail: detail.into(), repair: Some(repair.into()) }
    }
}

/// Returns the finding about another clock. `ours` is the time of this machine when that clock was read.
pub fn compare_clock(name: &str, ours: DateTime<Utc>, theirs: DateTime<Utc>) -> Finding {
    let difference = (theirs - ours).abs();
    let text = format!("this machine and {name} differ by {} s", difference.num_seconds());
    let repair =
        format!("Run a time service (chrony, systemd-timesyncd) on this machine and on that of {name}.");
    if difference > CLOCK_FAULT {
        Finding::fail("clock", text, repair)
    } else if difference > CLOCK_WARNING {
        Finding::warn("clock", text, repair)
    } else {
        Finding::ok("clock", format!("this machine and {name} agree"))
    }
}

/// Checks PostgreSQL, Redis, their clocks, and the processes that use them. `now` reads the clock of this machine.
pub async fn examine(store: &Store, queue: &Queue, now: impl Fn() -> DateTime<Utc>) -> Vec<Finding> {
    let database = timeout(GROUP_TIMEOUT, async {
        let (mut findings, ready) = servers::postgres(store, &now).await;
        if ready {
            findings.extend(fleet::examine(store).await);
        }
        findings
    });
    let (database, redis) = tokio::join!(database, timeout(GROUP_TIMEOUT, servers::redis(queue, &now)));
    let mut findings = database.unwrap_or_else(|_| vec![servers::slow("postgres", "DATABASE_URL")]);
    findings.extend(redis.unwrap_or_else(|_| vec![servers::slow("redis", "REDIS_URL")]));
    findings.extend(timeout(GROUP_TIMEOUT, leaders::examine(store, queue)).await.unwrap_or_default());
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_seconds() {
        let ours: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let level = |seconds| compare_clock("Redis", ours, ours + TimeDelta::seconds(seconds)).level;
        assert_eq!(
            [level(4), level(-6), level(61), level(-3600)],
            [Level::Ok, Level::Warn, Level::Fail, Level::Fail]
        );
    }
}
