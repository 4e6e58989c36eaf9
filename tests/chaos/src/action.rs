//! Faults of a chaos run.

use std::{fmt, time::Duration};

use crate::plan::{APIS, SCHEDULERS, WORKERS};

/// One fault and its start time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Time since the start of the faults.
    pub at: Duration,
    /// The fault.
    pub action: Action,
}

/// Kind of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `rts api`.
    Api,
    /// `rts worker`.
    Worker,
    /// `rts scheduler`.
    Scheduler,
}

impl Role {
    /// Returns the subcommand of `rts` that starts this process.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
        }
    }

    pub(crate) const fn count(self) -> usize {
        match self {
            Self::Api => APIS,
            Self::Worker => WORKERS,
            Self::Scheduler => SCHEDULERS,
        }
    }
}

/// One of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backing {
    /// PostgreSQL, the source of truth.
    Postgres,
    /// Redis, the queue.
    Redis,
}

impl Backing {
    /// Returns the store's name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

/// Disturbance of the network path to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Connections are broken, new ones are closed at once.
    Cut,
    /// Connections stay open, no byte passes.
    Stall,
}

/// Fault on GitHub's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Every response is delayed by `ms`.
    Latency,
    /// Status 502 without effect.
    ServerErrors,
    /// Status 429 with `retry-after`.
    TooMany,
    /// Status 403 with `retry-after`: a secondary limit.
    Secondary,
    /// The request takes effect, the response is lost.
    EffectThenDrop,
    /// The response is lost, the effect happens later.
    LateEffect,
    /// The request takes effect, the status is 502.
    EffectThenStatus,
    /// The connection is closed without effect.
    Drop,
    /// The hourly window is exhausted until it ends.
    Exhausted,
    /// The shared token is void: 401.
    TokenExpired,
}

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// SIGKILL, restarted after `down`.
    Kill {
        /// Kind of the process.
        role: Role,
        /// Index of the process.
        which: usize,
        /// Time until the restart.
        down: Duration,
    },
    /// SIGSTOP, then SIGCONT after `frozen`, which is longer than a lease.
    Freeze {
        /// Kind of the process.
        role: Role,
        /// Index of the process.
        which: usize,
        /// Duration of the freeze.
        frozen: Duration,
    },
    /// Redis loses all data.
    Flush,
    /// A store is stopped in an orderly way and started again.
    Restart(Backing),
    /// Redis is killed and started again.
    Crash,
    /// Redis and its standby restart with clocks that are wrong by this many seconds; negative values are slow.
    Clock(i64),
    /// The standby takes over without the last second of writes, connections to the old primary stay open, and after
    /// `lasts` the old primary takes over again.
    Failover {
        /// Duration.
        lasts: Duration,
    },
    /// The path to a store is disturbed.
    Disturb {
        /// The store.
        backing: Backing,
        /// The kind of disturbance.
        line: Line,
        /// Duration.
        lasts: Duration,
    },
    /// Every connection to a store is broken once.
    Reset(Backing),
    /// A fault of GitHub.
    GitHub {
        /// The fault.
        trouble: Trouble,
        /// Number of requests affected.
        times: u32,
        /// Latency or delay of a late effect in ms; seconds of `retry-after` times 1,000.
        ms: u64,
    },
    /// GitHub recovers: pending faults are removed, and its windows start anew with their current sizes.
    Relief,
}

impl Action {
    pub(crate) const fn disturbs_a_store(&self) -> bool {
        !matches!(self, Self::Kill { .. } | Self::Freeze { .. } | Self::GitHub { .. } | Self::Relief)
    }

    #[cfg(test)]
    pub(crate) const fn loses_the_queue(&self) -> bool {
        matches!(
            self,
            Self::Flush
                | Self::Crash
                | Self::Clock(_)
                | Self::Failover { .. }
                | Self::Restart(Backing::Redis)
        )
    }

    /// Returns the fault's name in the report.
    pub fn kind(&self) -> String {
        match self {
            Self::Kill { role, .. } => format!("{} kill -9", role.word()),
            Self::Freeze { role, .. } => format!("{} frozen", role.word()),
            Self::Flush => "redis FLUSHALL".to_owned(),
            Self::Restart(backing) => format!("{} restart", backing.word()),
            Self::Crash => "redis kill -9".to_owned(),
            Self::Clock(_) => "redis restart, other clock".to_owned(),
            Self::Failover { .. } => "redis failover".to_owned(),
            Self::Disturb { backing, line, .. } => format!("{} {line:?}", backing.word()).to_lowercase(),
            Self::Reset(backing) => format!("{} connections reset", backing.word()),
            Self::GitHub { trouble, .. } => format!("github {trouble:?}"),
            Self::Relief => "github well again".to_owned(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self {
            Self::Kill { which, down, .. } => write!(f, " #{which}, back after {} ms", down.as_millis()),
            Self::Freeze { which, frozen, .. } => write!(f, " #{which} for {} ms", frozen.as_millis()),
            Self::Disturb { lasts, .. } | Self::Failover { lasts } => {
                write!(f, " for {} ms", lasts.as_millis())
            }
            Self::Clock(seconds) => write!(f, ", {seconds:+} s"),
            Self::GitHub { times, ms, .. } => write!(f, ", {times} times, {ms} ms"),
            Self::Flush | Self::Restart(_) | Self::Crash | Self::Reset(_) | Self::Relief => Ok(()),
        }
    }
}
