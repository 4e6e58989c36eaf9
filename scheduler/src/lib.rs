//! When: because time passed. One promise, one file; each step is idempotent and bounded, so any number of schedulers
//! may take it at once.

mod jobs;
pub mod leader;
mod periodic;
pub mod queue_metrics;
mod retention;
pub mod sync;
mod webhooks;

use jobs::enqueue;
pub use jobs::{expire, reap, requeue};
pub use retention::{prune, shred};
pub use sync::{runner_versions, stale, unused};
use webhooks::workflow_job;
pub use webhooks::{cancel_workflow_runs, inbox, redeliver, suspension};

use std::time::Duration;

use chrono::TimeDelta;
use domain::DriftRules;
use github::GitHubError;
use installations::Installations;
pub use leader::Leadership;
pub use prune::Retention;
use queue::{Queue, QueueError};
use runtime::{
    config::LabelEnforcement,
    health::LoopMonitor,
    shutdown::{Backoff, Shutdown, TaskGroup},
};
use store::{Store, StoreError};

/// Everything a scheduler is made of, put together by the process that runs it.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The truth.
    pub store: Store,
    /// The queue that is kept in line with it.
    pub queue: Queue,
    /// The clients of every installation.
    pub installations: Installations,
    /// What is done about workflow jobs that violate a policy.
    pub enforcement: LabelEnforcement,
    /// How the fleet is watched.
    pub sync: SyncSettings,
    /// Whether the process's loops still move.
    pub progress: LoopMonitor,
}

/// How the fleet is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncSettings {
    /// How often it is compared with GitHub.
    pub every: Duration,
    /// What may be done about drift.
    pub rules: DriftRules,
    /// Longest life of a config that nobody used.
    pub config_life: TimeDelta,
    /// How long a runner may be offline.
    pub stale_after: TimeDelta,
    /// How long a claim lasts when it is not renewed: what a worker gets to put its leases back.
    pub lease: Duration,
    /// How long what is over is kept.
    pub retention: Retention,
    /// Where this scheduler runs, for rows and logs.
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
            name: "scheduler".to_owned(),
        }
    }
}

/// Why a step was not taken; the next tick takes it again.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The database.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// The queue.
    #[error("the queue did not do it")]
    Queue(#[from] QueueError),
    /// GitHub.
    #[error("GitHub did not do it")]
    GitHub(#[from] GitHubError),
    /// Why, was said where it happened.
    #[error("it was not done whole")]
    Incomplete,
}

/// Runs every step at its own pace until `shutdown` drains.
///
/// # Errors
/// When a step's loop will not end.
pub async fn run(parts: Parts, shutdown: Shutdown) -> anyhow::Result<()> {
    let group = TaskGroup::new(shutdown);
    let draining = group.shutdown().draining().clone();
    macro_rules! every {
        ($seconds:literal, $name:literal, $step:expr) => {{
            let with = (parts.clone(), draining.clone());
            group.supervise($name, Backoff::default(), move || {
                periodic::run_every(Duration::from_secs($seconds), $name, with.clone(), $step)
            });
        }};
    }
    every!(5, "expire", expire::run);
    every!(5, "reap", reap::run);
    let shown_lanes = queue_metrics::ShownLanes::default();
    every!(5, "depth", {
        let shown = shown_lanes.clone();
        move |parts| queue_metrics::run(parts, shown.clone())
    });
    every!(10, "shred", shred::run);
    every!(3600, "forget", shred::forget);
    every!(2, "cancel", cancel_workflow_runs::run);
    every!(20, "suspension", suspension::run);
    every!(60, "forget_webhooks", inbox::forget);
    let with = (parts.clone(), draining.clone());
    let often = (Duration::from_secs(1), inbox::MAX_DELIVERIES_PER_STEP);
    group.supervise("inbox", Backoff::default(), move || {
        periodic::drain_every(often, "inbox", with.clone(), inbox::run)
    });
    let with = (parts.clone(), draining.clone());
    group.supervise("redeliver", Backoff::default(), move || {
        periodic::run_every_for_each(Duration::from_secs(30), "redeliver", with.clone(), redeliver::run)
    });
    let swept = (parts.clone(), draining.clone());
    group.supervise("sweep", Backoff::default(), move || requeue::run_loop(swept.0.clone(), swept.1.clone()));
    let leadership = Leadership::new(&parts.sync.name);
    let kept = (parts.clone(), leadership.clone(), draining.clone());
    group.supervise("lead", Backoff::default(), move || {
        leader::run(kept.0.clone(), kept.1.clone(), kept.2.clone())
    });
    let shot = (parts.clone(), leadership.clone(), draining.clone());
    group.supervise("snapshot", Backoff::default(), move || {
        sync::run_loop(shot.0.clone(), shot.1.clone(), shot.2.clone())
    });
    macro_rules! every_led {
        ($seconds:literal, $name:literal, $step:expr) => {{
            let (parts, draining, leadership) = (parts.clone(), draining.clone(), leadership.clone());
            group.supervise($name, Backoff::default(), move || {
                let with = (parts.clone(), draining.clone(), leadership.clone());
                periodic::run_every_as_leader(Duration::from_secs($seconds), $name, with, $step)
            });
        }};
    }
    every_led!(15, "unused", unused::run);
    every_led!(600, "stale", stale::run);
    every_led!(30, "prune", prune::run);
    every_led!(300, "versions", runner_versions::run);
    let stuck = group.wait().await;
    anyhow::ensure!(stuck.is_empty(), "these loops did not end: {}", stuck.join(", "));
    Ok(())
}
