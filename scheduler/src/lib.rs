//! Scheduler: work that is due because time has passed, one file per step. Each step is idempotent and bounded, so any
//! number of schedulers may run it at the same time.

mod audit;
pub mod budget_metrics;
pub mod events;
pub mod fleet_metrics;
pub mod gauges;
mod jobs;
pub mod leader;
mod periodic;
pub mod queue_metrics;
mod retention;
pub mod step_reports;
pub mod sync;
pub mod verdict_metrics;
mod webhooks;

pub use audit::chain;
use jobs::enqueue;
pub use jobs::{batches, depths, expire, flow, pauses, reap, requeue};
pub use retention::{prune, shred};
pub use step_reports::StepReports;
pub use sync::{runner_versions, stale, unused};
pub use webhooks::{cancel_workflow_runs, inbox, redeliver, suspension};

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use chrono::TimeDelta;
use domain::{AuditKeys, DriftRules, InstallationId};
use gauges::ShownGauges;
use github::GitHubError;
use installations::Installations;
pub use leader::Leadership;
use operations::OperationError;
use periodic::Schedule;
pub use prune::Retention;
use queue::{Queue, QueueError};
use runtime::{
    config::LabelEnforcement,
    health::LoopMonitor,
    shutdown::{Backoff, Shutdown, TaskGroup},
};
use store::{Store, StoreError};

/// Parts of a scheduler, put together by the process that runs it.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The database, the source of truth.
    pub store: Store,
    /// The queue, which the steps keep in line with the database.
    pub queue: Queue,
    /// GitHub clients of all installations.
    pub installations: Installations,
    /// Keys that sign checkpoints of the audit chains; `None` leaves them unsigned.
    pub audit_keys: Option<AuditKeys>,
    /// Sinks of events.
    pub event_sinks: events::EventSinks,
    /// Response to workflow jobs that violate a label policy.
    pub enforcement: LabelEnforcement,
    /// Runner group of requests that name none, by installation; for requests that a batch repeats.
    pub default_groups: BTreeMap<InstallationId, i64>,
    /// Whether registration tokens are issued.
    pub registration_tokens: bool,
    /// Settings of the steps.
    pub sync: SyncSettings,
    /// Last success and failure of the steps.
    pub steps: StepReports,
    /// Progress of the process's loops.
    pub progress: LoopMonitor,
}

/// Settings of the periodic steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncSettings {
    /// Interval between two sync runs of an installation.
    pub every: Duration,
    /// Rules for drift.
    pub rules: DriftRules,
    /// Lifetime of a config that was not used.
    pub config_life: TimeDelta,
    /// Time after which an offline runner is removed.
    pub stale_after: TimeDelta,
    /// Duration of a lease without renewal: the time workers get to put their leases back.
    pub lease: Duration,
    /// Time for which final rows are kept.
    pub retention: Retention,
    /// Slots of a worker, for the number of workers wanted while none runs.
    pub worker_slots: u64,
    /// Name of this scheduler's process in rows and logs.
    pub name: String,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_mins(5),
            rules: DriftRules::default(),
            config_life: TimeDelta::hours(1),
            stale_after: TimeDelta::hours(24),
            lease: Duration::from_secs(15),
            retention: Retention::default(),
            worker_slots: 8,
            name: "scheduler".to_owned(),
        }
    }
}

/// Reason why a step failed; the next tick runs it again.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The database failed.
    #[error("the database call failed")]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error("the queue call failed")]
    Queue(#[from] QueueError),
    /// GitHub failed.
    #[error("the GitHub call failed")]
    GitHub(#[from] GitHubError),
    /// The step was not completed; the log has the reason.
    #[error("the step was not completed")]
    Incomplete,
}

impl From<OperationError> for StepError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Store(error) => error.into(),
            OperationError::Refused(problem) => {
                tracing::warn!(detail = problem.detail, "an operation of a step was refused");
                Self::Incomplete
            }
        }
    }
}

/// Runs every step at its own interval until `shutdown` drains.
///
/// # Errors
/// Returns an error when the loop of a step does not end.
pub async fn run(parts: Parts, shutdown: Shutdown) -> anyhow::Result<()> {
    let group = TaskGroup::new(shutdown);
    let leadership = Leadership::new(&parts.sync.name);
    let loops = StepLoops { group: &group, parts: &parts, leadership: &leadership };
    loops.run_every(5, "expire", expire::run);
    loops.run_every(5, "reap", reap::run);
    loops.run_every(5, "pauses", pauses::run);
    loops.show_every(5, "depth", queue_metrics::run);
    loops.show_every(10, "verdict", verdict_metrics::run);
    loops.show_every(10, "budget", budget_metrics::run);
    loops.show_every(15, "fleet", fleet_metrics::run);
    loops.run_every(15, "reports", step_reports::run);
    loops.run_every(10, "shred", shred::run);
    loops.run_every(3600, "forget", shred::forget);
    loops.run_every(2, "cancel", cancel_workflow_runs::run);
    loops.run_every(2, "batches", batches::run);
    loops.run_every(2, "incidents", batches::run_incidents);
    loops.run_every(20, "suspension", suspension::run);
    loops.run_every(60, "forget_webhooks", inbox::forget);
    loops.run_every_as_leader(15, "unused", unused::run);
    loops.run_every_as_leader(10, "flow", flow::run);
    loops.run_every_as_leader(15, "depths", depths::run);
    loops.run_every_as_leader(600, "stale", stale::run);
    loops.run_every_as_leader(30, "prune", prune::run);
    let memory = chain::ChainMemory::default();
    loops.run_every_as_leader(10, "audit_chain", move |parts| chain::run(parts, memory.clone()));
    let leader = leadership.clone();
    loops.run_every_as_leader(10, "leader", move |parts| leader::report(parts, leader.clone()));
    loops.run_every_as_leader(2, "events", events::run);
    loops.run_every_as_leader(600, "forget_events", events::forget);
    loops.run_every_as_leader(300, "versions", runner_versions::run);
    loops.supervise(1, "inbox", |schedule| {
        periodic::drain_every(schedule, inbox::MAX_DELIVERIES_PER_STEP, inbox::run)
    });
    loops.supervise(30, "redeliver", |schedule| periodic::run_every_for_each(schedule, redeliver::run));
    let draining = group.shutdown().draining();
    let with = (parts.clone(), draining.clone());
    group.supervise("sweep", Backoff::default(), move || requeue::run_loop(with.0.clone(), with.1.clone()));
    let with = (parts.clone(), leadership.clone(), draining.clone());
    group.supervise("lead", Backoff::default(), move || {
        leader::run(with.0.clone(), with.1.clone(), with.2.clone())
    });
    let with = (parts.clone(), leadership.clone(), draining.clone());
    group.supervise("snapshot", Backoff::default(), move || {
        sync::run_loop(with.0.clone(), with.1.clone(), with.2.clone())
    });
    let stuck = group.wait().await;
    anyhow::ensure!(stuck.is_empty(), "these loops did not end: {}", stuck.join(", "));
    Ok(())
}

/// Start of supervised loops that run one step each.
struct StepLoops<'s> {
    group: &'s TaskGroup,
    parts: &'s Parts,
    leadership: &'s Leadership,
}

impl StepLoops<'_> {
    fn supervise<M, F>(&self, seconds: u64, name: &'static str, start: M)
    where
        M: Fn(Schedule) -> F + Send + 'static,
        F: Future<Output = Result<(), Infallible>> + Send + 'static,
    {
        let draining = self.group.shutdown().draining().clone();
        let period = Duration::from_secs(seconds);
        let schedule = Schedule { name, period, parts: self.parts.clone(), draining };
        self.group.supervise(name, Backoff::default(), move || start(schedule.clone()));
    }

    fn run_every<S, F>(&self, seconds: u64, name: &'static str, step: S)
    where
        S: Fn(Parts) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, StepError>> + Send + 'static,
    {
        self.supervise(seconds, name, move |schedule| periodic::run_every(schedule, step.clone()));
    }

    /// Runs a step that sets gauges. Every scheduler runs it, so that the metrics of any of them are complete.
    fn show_every<S, F>(&self, seconds: u64, name: &'static str, step: S)
    where
        S: Fn(Parts, ShownGauges) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, StepError>> + Send + 'static,
    {
        let shown = ShownGauges::default();
        self.run_every(seconds, name, move |parts| step(parts, shown.clone()));
    }

    fn run_every_as_leader<S, F>(&self, seconds: u64, name: &'static str, step: S)
    where
        S: Fn(Parts) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, StepError>> + Send + 'static,
    {
        let leadership = self.leadership.clone();
        self.supervise(seconds, name, move |schedule| {
            periodic::run_every_as_leader(schedule, leadership.clone(), step.clone())
        });
    }
}
