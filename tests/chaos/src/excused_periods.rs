//! When nothing could go on: GitHub made everybody wait or go slowly, or a store was away.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{InstallationId, Lane};
use queue::{Breaker, BudgetView, ProspectiveJob, Queue, Reason};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Writes a minute as long as GitHub has not slowed us down: 900 points, 5 each.
const FULL_RATE: u64 = 180;

/// From when until when.
pub(crate) type Span = (Instant, Instant);

/// What was seen of the budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExcusedPeriodsWatcher {
    /// When jobs had to wait for it.
    pub(crate) spans: Vec<Span>,
    /// When GitHub's limits had no room for the next job: who may start then waits for its turn.
    pub(crate) full: Vec<Span>,
    /// Looks at which nothing but the reserve was left of the primary window.
    pub(crate) used_up: usize,
    /// Primary windows that began after one that was used up.
    pub(crate) renewed: usize,
}

/// Looks at the budget until dropped.
pub(crate) struct ExcusedPeriods {
    holds: Arc<Mutex<ExcusedPeriodsWatcher>>,
    task: JoinHandle<()>,
}

impl ExcusedPeriods {
    pub(crate) fn start(queue: Queue) -> Self {
        let holds = Arc::<Mutex<ExcusedPeriodsWatcher>>::default();
        let task = tokio::spawn(keep_looking(queue, holds.clone()));
        Self { holds, task }
    }

    /// What was seen so far.
    pub(crate) fn holds(&self) -> ExcusedPeriodsWatcher {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ExcusedPeriods {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_looking(queue: Queue, holds: Arc<Mutex<ExcusedPeriodsWatcher>>) {
    let mut empty = false;
    loop {
        let from = Instant::now();
        // Redis is away: then nobody knows of a pause.
        if let Ok(Ok(budgets)) = timeout(Duration::from_secs(1), queue.budget()).await {
            let full = is_full(&queue).await;
            let mut holds = holds.lock().unwrap_or_else(PoisonError::into_inner);
            if full {
                holds.full.push((from, from + LOOK * 2));
            }
            if budgets.iter().any(holds_up) {
                holds.spans.push((from, from + LOOK * 2));
            }
            let known = budgets.iter().any(|budget| !budget.resources.is_empty());
            let now_empty = budgets.iter().any(used_up);
            holds.used_up += usize::from(now_empty);
            holds.renewed += usize::from(empty && known && !now_empty);
            empty = now_empty || (empty && !known);
        }
        sleep(LOOK).await;
    }
}

/// Whether a job that makes or removes a runner could not start now, were it the first.
async fn is_full(queue: &Queue) -> bool {
    for lane in [Lane::Provision, Lane::Deprovision] {
        let installation = InstallationId::default();
        let first = ProspectiveJob { installation, lane, team: None, weight: 1.0, cost: 1 };
        if queue.forecast(&first).await.is_ok_and(|forecast| forecast.pause.is_some()) {
            return true;
        }
    }
    false
}

/// Whether a job that may start would have to wait longer than for its turn.
fn holds_up(budget: &BudgetView) -> bool {
    let paused = budget.pauses.iter().any(|pause| pause.reason != Reason::Admin);
    let slowed = budget.mutation_rate_per_minute < FULL_RATE;
    paused || slowed || budget.probe.is_some() || budget.breaker != Breaker::Closed || used_up(budget)
}

/// A tenth is kept for removals.
fn used_up(budget: &BudgetView) -> bool {
    budget.resources.iter().any(|window| window.remaining <= window.limit.div_ceil(10))
}

/// The time between two moments that lies in none of the spans.
pub(crate) fn outside(spans: &[Span], (from, until): Span) -> Duration {
    let mut inside: Vec<Span> = spans
        .iter()
        .map(|(begin, end)| ((*begin).max(from), (*end).min(until)))
        .filter(|(begin, end)| begin < end)
        .collect();
    inside.sort_unstable();
    let (mut free, mut at) = (Duration::ZERO, from);
    for (begin, end) in inside {
        free += begin.saturating_duration_since(at);
        at = at.max(end);
    }
    free + until.saturating_duration_since(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outside_overlapping_spans_is_counted_once() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let spans = [(at(5), at(7)), (at(0), at(2)), (at(6), at(8)), (at(20), at(30))];
        assert_eq!(outside(&spans, (at(1), at(10))), Duration::from_secs(5));
        assert_eq!(outside(&[], (at(1), at(10))), Duration::from_secs(9));
        assert_eq!(outside(&spans, (at(21), at(22))), Duration::ZERO);
    }
}
