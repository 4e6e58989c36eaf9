//! Schedule of faults, drawn like cards: the whole deck is dealt before it is shuffled again.

use std::time::Duration;

use rand::{RngExt, rngs::SmallRng, seq::SliceRandom};

use crate::{
    action::{Action, Backing, Line, Role, Trouble},
    clocks::draw_error,
};

/// Time after which another scheduler takes over from a dead leader; see `scheduler/src/leader.rs`.
const LEADERS_LEASE: Duration = Duration::from_secs(9);

/// A card and its number of copies in the deck.
type Often = (usize, Card);

/// Every fault; the important ones several times.
const EVERYTHING: &[Often] = &[
    (8, Card::Kill(Role::Worker)),
    (3, Card::Kill(Role::Api)),
    (3, Card::Kill(Role::Scheduler)),
    (3, Card::Freeze(Role::Worker)),
    (1, Card::Freeze(Role::Api)),
    (1, Card::Freeze(Role::Scheduler)),
    (3, Card::Flush),
    (1, Card::Crash),
    (1, Card::Clock),
    (1, Card::Failover),
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
    (2, Card::GitHub(Trouble::Exhausted)),
    (1, Card::GitHub(Trouble::TokenExpired)),
    (3, Card::GitHub(Trouble::EffectThenDrop)),
    (2, Card::GitHub(Trouble::LateEffect)),
    (2, Card::GitHub(Trouble::EffectThenStatus)),
    (1, Card::GitHub(Trouble::Drop)),
];

/// Faults that leave the queue and GitHub intact.
const PROCESSES: &[Often] = &[
    (6, Card::Kill(Role::Worker)),
    (2, Card::Kill(Role::Api)),
    (2, Card::Kill(Role::Scheduler)),
    (2, Card::Freeze(Role::Worker)),
    (1, Card::Freeze(Role::Api)),
    (1, Card::Reset(Backing::Postgres)),
    (1, Card::Reset(Backing::Redis)),
];

/// A deck and its position.
pub(crate) struct FaultSchedule {
    all: &'static [Often],
    left: Vec<Card>,
}

impl FaultSchedule {
    /// Returns the deck of every fault; dealing it once covers all of them.
    pub(crate) fn of_everything() -> Self {
        Self { all: EVERYTHING, left: Vec::new() }
    }

    /// Returns the deck of process and connection faults.
    pub(crate) fn of_processes() -> Self {
        Self { all: PROCESSES, left: Vec::new() }
    }

    /// Returns the next fault.
    pub(crate) fn deal(&mut self, rng: &mut SmallRng, lease: Duration) -> Action {
        loop {
            if let Some(card) = self.left.pop() {
                return card.dealt(rng, lease);
            }
            let cards = |(times, card): &Often| std::iter::repeat_n(*card, *times);
            self.left = self.all.iter().flat_map(cards).collect();
            self.left.shuffle(rng);
        }
    }
}

/// A fault without its parameters.
#[derive(Clone, Copy)]
enum Card {
    Kill(Role),
    Freeze(Role),
    Flush,
    Restart(Backing),
    Crash,
    Clock,
    Failover,
    Disturb(Backing, Line),
    Reset(Backing),
    GitHub(Trouble),
}

impl Card {
    fn dealt(self, rng: &mut SmallRng, lease: Duration) -> Action {
        let mut ms = |from: u64, to: u64| rng.random_range(from..=to);
        match self {
            Self::Kill(role) => {
                let down = Duration::from_millis(ms(0, 800));
                Action::Kill { role, which: rng.random_range(0..role.count()), down }
            }
            Self::Freeze(role) => {
                let held = if role == Role::Scheduler { LEADERS_LEASE } else { lease };
                let frozen = held + Duration::from_millis(ms(500, 3000));
                Action::Freeze { role, which: rng.random_range(0..role.count()), frozen }
            }
            Self::Flush => Action::Flush,
            Self::Restart(backing) => Action::Restart(backing),
            Self::Crash => Action::Crash,
            Self::Clock => Action::Clock(draw_error(rng)),
            Self::Failover => Action::Failover { lasts: Duration::from_millis(ms(2000, 6000)) },
            Self::Disturb(backing, line) => {
                Action::Disturb { backing, line, lasts: Duration::from_millis(ms(1000, 4000)) }
            }
            Self::Reset(backing) => Action::Reset(backing),
            Self::GitHub(trouble) => {
                let (times, ms) = match trouble {
                    Trouble::Latency => (ms(5, 15), ms(1000, 4000)),
                    Trouble::ServerErrors => (ms(3, 10), 0),
                    Trouble::TooMany | Trouble::Secondary => (1, ms(1, 2) * 1000),
                    Trouble::Exhausted | Trouble::TokenExpired => (1, 0),
                    Trouble::LateEffect => (ms(1, 3), ms(300, 4000)),
                    Trouble::EffectThenDrop | Trouble::EffectThenStatus | Trouble::Drop => (ms(1, 4), 0),
                };
                Action::GitHub { trouble, times: u32::try_from(times).unwrap_or(1), ms }
            }
        }
    }
}
