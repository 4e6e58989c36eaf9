//! Gauges of GitHub's limits and of pauses.

use std::time::Duration;

use domain::PauseScope;
use queue::{Breaker, BudgetView, Paused};

use crate::{
    Parts, StepError,
    gauges::{GaugeRun, ShownGauges, float},
};

/// Label value of a pause that concerns every installation, or every lane. No installation has this name.
const ALL: &str = "*";

/// Sets gauges for every installation's budget and for all pauses. Returns 0, since nothing was changed.
pub async fn run(parts: Parts, shown: ShownGauges) -> Result<u64, StepError> {
    let (budgets, pauses) = (parts.queue.budget().await?, parts.queue.pauses().await?);
    let now = Duration::from_secs(runtime::Clock::System.now().timestamp().unsigned_abs());
    let mut gauges = shown.begin();
    for budget in &budgets {
        show_budget(&mut gauges, budget, now);
    }
    for pause in &pauses {
        show_pause(&mut gauges, pause);
    }
    gauges.end();
    Ok(0)
}

fn show_budget(gauges: &mut GaugeRun<'_>, budget: &BudgetView, now: Duration) {
    let installation = ("installation", budget.installation.as_str());
    for window in &budget.resources {
        let labels = [installation, ("resource", window.resource.as_str())];
        gauges.set_known("rts_github_window_limit", &labels, float(window.limit));
        gauges.set_known("rts_github_window_remaining", &labels, float(window.remaining));
        let reset = (now + window.reset_in).as_secs_f64();
        gauges.set_known("rts_github_window_reset_timestamp_seconds", &labels, reset);
    }
    for points in &budget.points {
        let labels = [installation, ("endpoint", points.endpoint.as_str())];
        gauges.count("rts_github_points_used", &labels, points.used);
    }
    let writes = float(budget.mutation_rate_per_minute);
    gauges.set_known("rts_github_writes_per_minute", &[installation], writes);
    let breaker = match budget.breaker {
        Breaker::Closed => 0,
        Breaker::Open { .. } => 1,
        Breaker::HalfOpen => 2,
    };
    gauges.count("rts_github_breaker", &[installation], breaker);
    gauges.count("rts_github_pool", &[installation, ("pool", budget.pool.as_str())], 1);
}

/// Sets the gauge of a pause. Its labels hold the kind of its reason, never an admin's own words.
fn show_pause(gauges: &mut GaugeRun<'_>, paused: &Paused) {
    let (installation, lane) = match &paused.scope {
        PauseScope::Installation(name) => (name.as_str(), ALL),
        PauseScope::Lane(lane) => (ALL, lane.as_str()),
    };
    let labels = [("installation", installation), ("lane", lane), ("reason", paused.pause.reason.as_str())];
    gauges.count("rts_queue_paused", &labels, 1);
}
