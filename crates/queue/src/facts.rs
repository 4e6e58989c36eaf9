//! Facts about the Redis server, for the operator's checks.

use std::collections::BTreeMap;

use redis::cmd;

use crate::{Queue, QueueError};

/// The Redis server that holds the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisFacts {
    /// Version of Redis whose behaviour the server has, as in `7.2.4`.
    pub version: Option<String>,
    /// Rule by which keys are dropped when memory is full.
    pub maxmemory_policy: Option<String>,
    /// Whether every write is also appended to a file.
    pub appends: Option<bool>,
    /// Microseconds since 1970 by its clock.
    pub unix_micros: i64,
    /// Whether the scheduler has marked the queue as complete.
    pub has_epoch: bool,
}

impl Queue {
    /// Returns facts about the server.
    ///
    /// # Errors
    /// Redis cannot be reached, or the login may not run `INFO` or `TIME`.
    pub async fn facts(&self) -> Result<RedisFacts, QueueError> {
        let (seconds, micros): (i64, i64) = self.link().command(&cmd("TIME")).await?;
        let info: String = self.link().command(&cmd("INFO")).await?;
        let facts = RedisFacts { unix_micros: seconds * 1_000_000 + micros, ..RedisFacts::parse(&info) };
        Ok(RedisFacts { has_epoch: self.epoch().await?.is_some(), ..facts })
    }
}

impl RedisFacts {
    fn parse(info: &str) -> Self {
        let members: BTreeMap<&str, &str> =
            info.lines().filter_map(|line| line.trim().split_once(':')).collect();
        let text = |name| members.get(name).map(|value| (*value).to_owned());
        Self {
            version: text("redis_version"),
            maxmemory_policy: text("maxmemory_policy"),
            appends: members.get("aof_enabled").map(|value| *value == "1"),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_line_by_line() {
        let facts = RedisFacts::parse(
            "# Server\r\nredis_version:7.2.4\r\n# Memory\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n",
        );
        assert_eq!(facts.version.as_deref(), Some("7.2.4"));
        assert_eq!(facts.maxmemory_policy.as_deref(), Some("noeviction"));
        assert_eq!(facts.appends, Some(true));
        assert_eq!(RedisFacts::parse("nonsense").version, None);
    }
}
