//! Periods in which jobs could not make progress: GitHub's limits, or a store that was down.

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

/// Time between two observations.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Writes per minute while GitHub has not reduced the rate: 900 points, 5 each.
const FULL_RATE: u64 = 180;

/// Start and end of a period.
pub(crate) type Span = (Instant, Instant);

/// Observations of the budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExcusedPeriods {
    /// Periods in which jobs had to wait for the budget.
    pub(crate) spans: Vec<Span>,
    /// Periods in which GitHub's limits had no room for the next job, which then waits for its turn.
    pub(crate) full: Vec<Span>,
    /// Observations with only the reserve left in the hourly window.
    pub(crate) used_up: usize,
    /// Hourly windows that started after an exhausted one.
    pub(crate) renewed: usize,
}

/// Observes the budget until dropped.
pub(crate) struct ExcusedPeriodsWatcher {
    periods: Arc<Mutex<ExcusedPeriods>>,
    task: JoinHandle<()>,
}

impl ExcusedPeriodsWatcher {
    pub(crate) fn start(queue: Queue) -> Self {
        let periods = Arc::<Mutex<ExcusedPeriods>>::default();
        let task = tokio::spawn(observe_budget(queue, periods.clone()));
        Self { periods, task }
    }

    /// Returns the observations so far.
    pub(crate) fn periods(&self) -> ExcusedPeriods {
        self.periods.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ExcusedPeriodsWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn observe_budget(queue: Queue, periods: Arc<Mutex<ExcusedPeriods>>) {
    let mut empty = false;
    loop {
        let from = Instant::now();
        // With Redis down, pauses are unknown.
        if let Ok(Ok(budgets)) = timeout(Duration::from_secs(1), queue.budget()).await {
            let full = is_full(&queue).await;
            let mut periods = periods.lock().unwrap_or_else(PoisonError::into_inner);
            if full {
                periods.full.push((from, from + POLL_INTERVAL * 2));
            }
            if budgets.iter().any(holds_up) {
                periods.spans.push((from, from + POLL_INTERVAL * 2));
            }
            let known = budgets.iter().any(|budget| !budget.resources.is_empty());
            let now_empty = budgets.iter().any(used_up);
            periods.used_up += usize::from(now_empty);
            periods.renewed += usize::from(empty && known && !now_empty);
            empty = now_empty || (empty && !known);
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Returns whether a job that creates or removes a runner could not start now, even as the first in the queue.
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

/// Returns whether a startable job would have to wait longer than for its turn.
fn holds_up(budget: &BudgetView) -> bool {
    let paused = budget.pauses.iter().any(|pause| pause.reason != Reason::Admin);
    let slowed = budget.mutation_rate_per_minute < FULL_RATE;
    paused || slowed || budget.probe.is_some() || budget.breaker != Breaker::Closed || used_up(budget)
}

/// A tenth is reserved for removals.
fn used_up(budget: &BudgetView) -> bool {
    budget.resources.iter().any(|window| window.remaining <= window.limit.div_ceil(10))
}

/// Returns the time in a span that lies outside the given spans.
pub(crate) fn outside(spans: &[Span], span: Span) -> Duration {
    let (from, until) = span;
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
