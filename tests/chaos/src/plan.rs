//! What one run does and when: all of it follows from the seed.

use std::{fmt, path::PathBuf, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};

/// How many processes of each kind there are.
pub(crate) const APIS: usize = 2;
/// Workers.
pub(crate) const WORKERS: usize = 3;
/// Schedulers.
pub(crate) const SCHEDULERS: usize = 2;
/// Operations of one story, about: a runner is asked for, looked at, collected, used, removed.
const OPERATIONS_EACH: usize = 4;

/// The size of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Faults, their times and the operations follow from it.
    pub seed: u64,
    /// How long faults strike and operations arrive.
    pub chaos: Duration,
    /// How many operations, about.
    pub operations: usize,
    /// Mean time between faults.
    pub pace: Duration,
    /// Longest time until everything is settled once the faults are over.
    pub quiet: Duration,
    /// Leases of the workers, whole seconds.
    pub lease: Duration,
    /// Folder of PostgreSQL's server programs; `None`: looked for.
    pub pg_bin: Option<PathBuf>,
    /// The Redis or Valkey server program; `None`: looked for.
    pub redis_bin: Option<PathBuf>,
    /// The `rts` to run; `None`: the one beside this program, brought up to date.
    pub rts: Option<PathBuf>,
    /// Hears every few seconds how far the run is.
    pub progress: Option<fn(&str)>,
}

impl Plan {
    /// Small enough for every test run: three minutes at most.
    pub fn bounded(seed: u64) -> Self {
        Self {
            seed,
            chaos: Duration::from_mins(1),
            operations: 160 * OPERATIONS_EACH,
            pace: Duration::from_millis(900),
            quiet: Duration::from_mins(1),
            lease: Duration::from_secs(3),
            pg_bin: None,
            redis_bin: None,
            rts: None,
            progress: None,
        }
    }

    /// As long and as many as wanted.
    pub fn long(minutes: u64, operations: usize, seed: u64) -> Self {
        Self {
            chaos: Duration::from_mins(minutes),
            operations,
            pace: Duration::from_millis(1500),
            quiet: Duration::from_mins(3),
            ..Self::bounded(seed)
        }
    }

    /// The faults in their order; the same for the same plan.
    pub fn schedule(&self) -> Vec<Step> {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let (mut steps, mut deck) = (Vec::new(), Vec::new());
        let mut at = Duration::from_secs(1);
        while at < self.chaos {
            if deck.is_empty() {
                deck = full_deck();
                deck.shuffle(&mut rng);
            }
            let Some(kind) = deck.pop() else { break };
            steps.push(Step { at, action: kind.dealt(&mut rng, self.lease) });
            at += self.pace.mul_f64(rng.random_range(0.4..1.6));
        }
        // What slowed us down is forgotten at the end: it would take an hour to grow again, and the run with it.
        steps.push(Step { at: self.chaos, action: Action::Flush });
        steps
    }
}

impl Plan {
    /// How many runners are asked for.
    pub(crate) fn stories(&self) -> usize {
        (self.operations / OPERATIONS_EACH).max(1)
    }

    /// The most losses of Redis in any `seconds` of the schedule.
    pub(crate) fn losses_within(&self, seconds: u64) -> u32 {
        let loses = |action: &Action| {
            matches!(action, Action::Flush | Action::Crash | Action::Restart(Backing::Redis))
        };
        let times: Vec<_> =
            self.schedule().into_iter().filter(|step| loses(&step.action)).map(|step| step.at).collect();
        let within = |from: &Duration| {
            times.iter().filter(|at| **at >= *from && **at <= *from + Duration::from_secs(seconds)).count()
        };
        times.iter().map(within).max().and_then(|most| u32::try_from(most).ok()).unwrap_or(0)
    }
}

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

    const fn count(self) -> usize {
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
    /// SIGSTOP, SIGCONT after `frozen`, longer than a lease.
    Freeze {
        /// Which worker.
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
}

impl Action {
    pub(crate) const fn disturbs_a_store(&self) -> bool {
        !matches!(self, Self::Kill { .. } | Self::Freeze { .. } | Self::GitHub { .. })
    }

    /// What it counts as in the report.
    pub fn kind(&self) -> String {
        match self {
            Self::Kill { role, .. } => format!("{} kill -9", role.word()),
            Self::Freeze { .. } => "worker frozen beyond its lease".to_owned(),
            Self::Flush => "redis FLUSHALL".to_owned(),
            Self::Restart(backing) => format!("{} restart", backing.word()),
            Self::Crash => "redis kill -9".to_owned(),
            Self::Disturb { backing, line, .. } => format!("{} {line:?}", backing.word()).to_lowercase(),
            Self::Reset(backing) => format!("{} connections reset", backing.word()),
            Self::GitHub { trouble, .. } => format!("github {trouble:?}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self {
            Self::Kill { which, down, .. } => write!(f, " #{which}, back after {} ms", down.as_millis()),
            Self::Freeze { which, frozen } => write!(f, " #{which} for {} ms", frozen.as_millis()),
            Self::Disturb { lasts, .. } => write!(f, " for {} ms", lasts.as_millis()),
            Self::GitHub { times, ms, .. } => write!(f, ", {times} times, {ms} ms"),
            Self::Flush | Self::Restart(_) | Self::Crash | Self::Reset(_) => Ok(()),
        }
    }
}

/// A card of the deck: a fault without its particulars.
#[derive(Clone, Copy)]
enum Card {
    Kill(Role),
    Freeze,
    Flush,
    Restart(Backing),
    Crash,
    Disturb(Backing, Line),
    Reset(Backing),
    GitHub(Trouble),
}

/// Every fault, the important ones several times. It is dealt to its end before it is shuffled again, so that a run
/// of one deck has seen everything.
fn full_deck() -> Vec<Card> {
    let often = [
        (9, Card::Kill(Role::Worker)),
        (3, Card::Freeze),
        (3, Card::Kill(Role::Api)),
        (3, Card::Kill(Role::Scheduler)),
        (3, Card::Flush),
        (1, Card::Crash),
        (1, Card::Restart(Backing::Redis)),
        (1, Card::Restart(Backing::Postgres)),
        (1, Card::Disturb(Backing::Redis, Line::Cut)),
        (1, Card::Disturb(Backing::Redis, Line::Stall)),
        (1, Card::Disturb(Backing::Postgres, Line::Cut)),
        (1, Card::Disturb(Backing::Postgres, Line::Stall)),
        (1, Card::Reset(Backing::Redis)),
        (1, Card::Reset(Backing::Postgres)),
        (1, Card::GitHub(Trouble::Latency)),
        (2, Card::GitHub(Trouble::ServerErrors)),
        (1, Card::GitHub(Trouble::TooMany)),
        (1, Card::GitHub(Trouble::Secondary)),
        (3, Card::GitHub(Trouble::EffectThenDrop)),
        (2, Card::GitHub(Trouble::LateEffect)),
        (2, Card::GitHub(Trouble::EffectThenStatus)),
        (1, Card::GitHub(Trouble::Drop)),
    ];
    often.into_iter().flat_map(|(times, card)| std::iter::repeat_n(card, times)).collect()
}

impl Card {
    fn dealt(self, rng: &mut SmallRng, lease: Duration) -> Action {
        let mut ms = |from: u64, to: u64| rng.random_range(from..=to);
        match self {
            Self::Kill(role) => {
                let down = Duration::from_millis(ms(0, 800));
                Action::Kill { role, which: rng.random_range(0..role.count()), down }
            }
            Self::Freeze => {
                let frozen = lease + Duration::from_millis(ms(500, 3000));
                Action::Freeze { which: rng.random_range(0..WORKERS), frozen }
            }
            Self::Flush => Action::Flush,
            Self::Restart(backing) => Action::Restart(backing),
            Self::Crash => Action::Crash,
            Self::Disturb(backing, line) => {
                Action::Disturb { backing, line, lasts: Duration::from_millis(ms(1000, 4000)) }
            }
            Self::Reset(backing) => Action::Reset(backing),
            Self::GitHub(trouble) => {
                let (times, ms) = match trouble {
                    Trouble::Latency => (ms(5, 15), ms(1000, 4000)),
                    Trouble::ServerErrors => (ms(3, 10), 0),
                    Trouble::TooMany | Trouble::Secondary => (1, ms(1, 2) * 1000),
                    Trouble::LateEffect => (ms(1, 3), ms(300, 4000)),
                    Trouble::EffectThenDrop | Trouble::EffectThenStatus | Trouble::Drop => (ms(1, 4), 0),
                };
                Action::GitHub { trouble, times: u32::try_from(times).unwrap_or(1), ms }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_it_all() {
        let plan = Plan::bounded(7);
        assert_eq!(plan.schedule(), plan.schedule());
        assert_ne!(plan.schedule(), Plan::bounded(8).schedule());
    }

    #[test]
    fn a_bounded_run_sees_every_fault() {
        let kinds = |plan: &Plan| -> std::collections::BTreeSet<String> {
            plan.schedule().iter().map(|step| step.action.kind()).collect()
        };
        let all = kinds(&Plan::long(30, 1, 1));
        assert_eq!(all.len(), 22);
        for seed in 0..20 {
            assert_eq!(kinds(&Plan::bounded(seed)), all, "seed {seed}");
        }
    }
}
