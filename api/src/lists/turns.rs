//! Turns for lists: a few at a time for each caller, and rest after lists that took long.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::Requester;
use operations::{TurnLimits, TurnPermit, Turns};
use tokio::time::{Instant, sleep_until};

use super::credit::{Advance, CreditLimits, ListCredit};

/// Limits on the lists of one caller.
const LIMITS: TurnLimits = TurnLimits { running: 4, waiting: 32, max_wait: Duration::from_secs(2) };
/// Longest time between two looks at a caller's credit. Credit comes sooner than computed when other callers stop.
const MAX_SLEEP: Duration = Duration::from_millis(100);
/// Most that one list is charged: two statements at their time-out. It bounds the rest after a pause of the process.
const MAX_COST: Duration = Duration::from_secs(5);

/// The turns of all callers in this process; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ListTurns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    turns: Turns<Requester>,
    credit: Mutex<ListCredit<Requester>>,
    started: Instant,
}

/// One running list. When it is dropped, its caller is charged for the time since [`ListTurn::start_timing`].
#[derive(Debug)]
pub(crate) struct ListTurn {
    turns: ListTurns,
    caller: Requester,
    advance: Advance,
    timed_since: Option<Instant>,
    _permit: TurnPermit,
}

/// A list that got no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// The caller's lists took more than their time; the caller has credit after this time.
    OutOfCredit(Duration),
    /// Too many lists of the caller are running or waiting.
    TooMany,
}

impl ListTurns {
    /// Returns turns that take this percentage of the time that passes; one caller takes half of it.
    pub(crate) fn new(percent: NonZeroU32) -> Self {
        Self(Arc::new(Inner {
            turns: Turns::new(LIMITS),
            credit: Mutex::new(ListCredit::new(CreditLimits::from_percent(percent.get()))),
            started: Instant::now(),
        }))
    }

    /// Waits for a turn, for two seconds at most. A list that is refused has waited as well, so that a caller who asks
    /// again at once costs little.
    ///
    /// # Errors
    /// The reason why the caller got no turn.
    pub(crate) async fn acquire(&self, caller: Requester) -> Result<ListTurn, NoTurn> {
        let deadline = Instant::now() + LIMITS.max_wait;
        let Some(permit) = self.0.turns.acquire(&caller).await else {
            let wait = self.credit().wait(caller, self.0.started.elapsed());
            return Err(if wait.is_zero() { NoTurn::TooMany } else { NoTurn::OutOfCredit(wait) });
        };
        loop {
            let wait = match self.start(caller) {
                Ok(advance) => {
                    let turns = self.clone();
                    return Ok(ListTurn { turns, caller, advance, timed_since: None, _permit: permit });
                }
                Err(wait) => wait,
            };
            let now = Instant::now();
            if now >= deadline {
                return Err(NoTurn::OutOfCredit(wait));
            }
            sleep_until(deadline.min(now + wait.min(MAX_SLEEP))).await;
        }
    }

    /// Removes idle callers.
    pub(crate) fn forget_idle(&self) {
        self.0.turns.forget_idle();
        self.credit().refill(self.0.started.elapsed());
    }

    fn start(&self, caller: Requester) -> Result<Advance, Duration> {
        self.credit().start(caller, self.0.started.elapsed())
    }

    fn credit(&self) -> MutexGuard<'_, ListCredit<Requester>> {
        self.0.credit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ListTurn {
    /// Begins to charge the caller. Until then the list waits for others, which costs its caller nothing.
    pub(crate) fn start_timing(&mut self) {
        self.timed_since = Some(Instant::now());
    }
}

impl Drop for ListTurn {
    fn drop(&mut self) {
        let cost = self.timed_since.map_or(Duration::ZERO, |since| since.elapsed().min(MAX_COST));
        let now = self.turns.0.started.elapsed();
        self.turns.credit().finish(self.caller, self.advance, cost, now);
    }
}

#[cfg(test)]
mod tests {
    use domain::UserId;
    use tokio::{
        task::JoinSet,
        time::{advance, sleep},
    };

    use super::*;

    const HALF: NonZeroU32 = NonZeroU32::new(50).unwrap();

    fn user() -> Requester {
        Requester::User(UserId::new())
    }

    async fn read_for(turns: &ListTurns, caller: Requester, time: Duration) {
        let mut turn = turns.acquire(caller).await.unwrap();
        turn.start_timing();
        advance(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn caller_rests_after_long_lists_and_others_do_not() {
        let turns = ListTurns::new(HALF);
        let (ada, bob) = (user(), user());
        read_for(&turns, ada, Duration::from_secs(3)).await;
        let begun = Instant::now();
        let NoTurn::OutOfCredit(wait) = turns.acquire(ada).await.unwrap_err() else { panic!() };
        assert_eq!(begun.elapsed().as_secs(), 2, "the refusal comes after the longest wait");
        assert!(
            wait > Duration::from_secs(5) && wait <= Duration::from_secs(6),
            "2 s of debt, 2 s waited: {wait:?}"
        );
        let before = Instant::now();
        drop(turns.acquire(bob).await.unwrap());
        assert_eq!(before.elapsed(), Duration::ZERO, "bob waits for nothing");
        advance(wait).await;
        let after = Instant::now();
        drop(turns.acquire(ada).await.unwrap());
        assert_eq!(after.elapsed(), Duration::ZERO, "the wait was true");
    }

    #[tokio::test(start_paused = true)]
    async fn pages_one_after_the_other_wait_and_are_never_refused() {
        let (turns, ada) = (ListTurns::new(HALF), user());
        let begun = Instant::now();
        for _ in 0..1_000 {
            read_for(&turns, ada, Duration::from_millis(20)).await;
        }
        let seconds = begun.elapsed().as_secs();
        assert!((70..=80).contains(&seconds), "20 s of lists at a quarter, less the burst: {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn ten_lists_of_a_dashboard_wait_for_turns_only() {
        let (turns, ada) = (ListTurns::new(HALF), user());
        let begun = Instant::now();
        let mut lists = JoinSet::new();
        for _ in 0..10 {
            let turns = turns.clone();
            lists.spawn(async move {
                let mut turn = turns.acquire(ada).await.unwrap();
                turn.start_timing();
                sleep(Duration::from_millis(50)).await;
            });
        }
        while let Some(list) = lists.join_next().await {
            list.unwrap();
        }
        assert!((150..200).contains(&begun.elapsed().as_millis()), "four at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn wait_for_a_connection_costs_nothing() {
        let (turns, ada) = (ListTurns::new(HALF), user());
        for _ in 0..10 {
            let turn = turns.acquire(ada).await.unwrap();
            advance(Duration::from_secs(3)).await;
            drop(turn);
        }
        turns.forget_idle();
        let begun = Instant::now();
        drop(turns.acquire(ada).await.unwrap());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn lists_beyond_the_turns_of_a_caller_are_refused() {
        let (turns, ada) = (ListTurns::new(HALF), user());
        let mut running = Vec::new();
        for _ in 0..LIMITS.running {
            running.push(turns.acquire(ada).await.unwrap());
        }
        assert_eq!(turns.acquire(ada).await.unwrap_err(), NoTurn::TooMany);
        drop(running);
        drop(turns.acquire(ada).await.unwrap());
    }
}
