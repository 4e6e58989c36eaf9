//! What can go wrong.

use std::{fmt, time::Duration};

use crate::plan::{APIS, SCHEDULERS, WORKERS};

/// One fault and its time after the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// After the start of the chaos.
    pub at: Duration,
    /// What happens.
    pub action: Action,
}

/// A kind of process.
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
    /// The word of the command line.
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
    /// The truth.
    Postgres,
    /// The queue.
    Redis,
}

impl Backing {
    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

/// What the path to a store does for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Connections are broken, new ones are closed at once.
    Cut,
    /// Connections stay, no byte passes.
    Stall,
}

/// What goes wrong on GitHub's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Every answer takes longer by `ms`.
    Latency,
    /// 502 without effect.
    ServerErrors,
    /// 429 with `retry-after`.
    TooMany,
    /// 403 with `retry-after`: a secondary limit.
    Secondary,
    /// It happens, the answer is lost.
    EffectThenDrop,
    /// The answer is lost, it happens later.
    LateEffect,
    /// It happens, 502 is answered.
    EffectThenStatus,
    /// The connection is closed, nothing happens.
    Drop,
    /// Nothing is left of the hour's window, until it ends.
    Exhausted,
    /// The token all of us share is void: 401.
    TokenExpired,
}

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// kill -9, started again after `down`.
    Kill {
        /// What.
        role: Role,
        /// Which of them.
        which: usize,
        /// Until it is started again.
        down: Duration,
    },
    /// SIGSTOP, SIGCONT after `frozen`, longer than the lease it holds.
    Freeze {
        /// What.
        role: Role,
        /// Which of them.
        which: usize,
        /// Until it goes on.
        frozen: Duration,
    },
    /// Redis forgets everything.
    Flush,
    /// A store is stopped in an orderly way and started again.
    Restart(Backing),
    /// Redis is killed and started again.
    Crash,
    /// Redis and its standby restart with clocks that are wrong by so many seconds; negative: they are slow.
    Clock(i64),
    /// Another Redis takes over without the last second, connections to the old one stay open, and after `lasts` it
    /// gives back.
    Failover {
        /// How long.
        lasts: Duration,
    },
    /// The path to a store is disturbed.
    Disturb {
        /// Which store.
        backing: Backing,
        /// How.
        line: Line,
        /// How long.
        lasts: Duration,
    },
    /// Every connection to a store is broken once.
    Reset(Backing),
    /// GitHub.
    GitHub {
        /// What goes wrong.
        trouble: Trouble,
        /// How many requests it strikes.
        times: u32,
        /// Latency, or the time until a late effect, ms; seconds of `retry-after` times 1,000.
        ms: u64,
    },
    /// GitHub is well again: nothing of what it was to do wrong is left, and its windows begin anew, as wide as they are.
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

    /// What it counts as in the report.
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
