//! Workers: their slots, versions and jobs, and the scheduler that leads.

mod drain;

use askama::Template;
use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{input::PageParams, words};
use crate::{
    app::AppState,
    caller::SeesAll,
    routes::admin::{
        sync::{self, InstallationSync, SchedulerStep},
        workers::{self, WorkerView},
    },
    ui::{
        Frame, OverseeingVisitor, Section, UiResult, UiRoutes,
        format::{count, span},
        page,
    },
};

/// Jobs of a worker that the page shows.
const SHOWN_JOBS: usize = 5;

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/workers", show)
        .get("/workers/{name}/drain", drain::preview)
        .post("/workers/{name}/drain", drain::drain)
}

/// Filter of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerParams {
    /// Only workers without a credential of this installation.
    without: Option<String>,
}

/// Workers and schedulers.
#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    frame: Frame,
    without: Option<String>,
    totals: Totals,
    /// Workers that the next seconds can keep busy, if it is known.
    wanted: Option<u64>,
    rows: Vec<WorkerRow>,
    scheduler: Scheduler,
    syncs: Vec<InstallationSync>,
    steps: Vec<SchedulerStep>,
    now: DateTime<Utc>,
}

impl WorkersPage {
    fn age(&self, step: &SchedulerStep) -> String {
        step.last_success.map_or_else(|| "never".to_owned(), |at| format!("{} ago", span(self.now - at)))
    }

    fn state(step: &SchedulerStep) -> &'static str {
        if step.late { "late" } else { "on time" }
    }

    fn late_steps(&self) -> usize {
        self.steps.iter().filter(|step| step.late).count()
    }
}

/// Sums over the workers that are alive.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    alive: u64,
    slots: u64,
    busy: u64,
    draining: u64,
}

/// A worker and what is remarkable about it.
pub(super) struct WorkerRow {
    pub(super) worker: WorkerView,
    /// Path of its pages.
    pub(super) path: String,
    /// Whether another worker that is alive has a different version.
    skewed: bool,
    now: DateTime<Utc>,
}

/// The scheduler that leads, or led last.
struct Scheduler {
    leads: bool,
    name: Option<String>,
    heartbeat_at: Option<DateTime<Utc>>,
}

impl Totals {
    fn of(rows: &[WorkerView]) -> Self {
        let alive = rows.iter().filter(|row| row.alive);
        alive.fold(Self::default(), |sum, row| Self {
            alive: sum.alive + 1,
            slots: sum.slots + if row.draining { 0 } else { words::natural(row.concurrency) },
            busy: sum.busy + words::natural(row.running),
            draining: sum.draining + u64::from(row.draining),
        })
    }

    fn sentence(&self) -> String {
        let workers = count(self.alive, "worker is alive", "workers are alive");
        let draining = match self.draining {
            0 => String::new(),
            some => format!(", {some} of them draining"),
        };
        format!("{workers}{draining}; {} of {} run a job.", self.busy, count(self.slots, "slot", "slots"))
    }
}

impl WorkerRow {
    pub(super) fn new(worker: WorkerView, common: Option<&str>, now: DateTime<Utc>) -> Self {
        let skewed = worker.alive && common.is_some_and(|version| version != worker.version);
        Self { path: words::path(&["workers", &worker.name]), skewed, worker, now }
    }

    fn slots(&self) -> u64 {
        words::natural(self.worker.concurrency)
    }

    fn running(&self) -> u64 {
        words::natural(self.worker.running)
    }

    fn heartbeat(&self) -> String {
        span(self.now - self.worker.heartbeat_at)
    }

    /// Returns how long it runs, or ran.
    fn uptime(&self) -> String {
        let end = if self.worker.alive { self.now } else { self.worker.heartbeat_at };
        span(end - self.worker.started_at)
    }

    fn host(&self) -> &str {
        self.worker.host.as_deref().unwrap_or("–")
    }

    fn lanes(&self) -> String {
        self.worker.lanes.as_ref().map_or_else(|| "–".to_owned(), |lanes| lanes.join(", "))
    }

    fn credentials(&self) -> String {
        match &self.worker.installations {
            None => "–".to_owned(),
            Some(none) if none.is_empty() => "none".to_owned(),
            Some(some) => some.join(", "),
        }
    }

    fn state(&self) -> &'static str {
        match (self.worker.alive, self.worker.draining) {
            (false, _) => "gone",
            (true, true) => "draining",
            (true, false) => "alive",
        }
    }

    /// Returns the jobs that are shown, by id, kind and run time.
    fn jobs(&self) -> Vec<(String, &str, String)> {
        let shown = self.worker.jobs.iter().take(SHOWN_JOBS);
        shown.map(|job| (job.job_id.to_string(), job.kind.as_str(), span(self.now - job.since))).collect()
    }

    fn more_jobs(&self) -> usize {
        self.worker.jobs.len().saturating_sub(SHOWN_JOBS)
    }
}

/// Returns the version of most workers that are alive.
fn common_version(workers: &[WorkerView]) -> Option<String> {
    let alive = || workers.iter().filter(|worker| worker.alive);
    let number = |version: &str| alive().filter(|worker| worker.version == version).count();
    let most = alive().max_by_key(|worker| (number(&worker.version), worker.version.clone()));
    most.map(|worker| worker.version.clone())
}

fn lacks(worker: &WorkerView, installation: &str) -> bool {
    worker.installations.as_ref().is_some_and(|known| known.iter().all(|one| one != installation))
}

/// Shows workers and schedulers.
async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageParams(params): PageParams<WorkerParams>,
) -> UiResult<Response> {
    let seen = || SeesAll(visitor.caller.clone());
    let Json(list) = workers::list(State(app.clone()), seen()).await?;
    let Json(status) = sync::status(State(app.clone()), seen()).await?;
    let common = common_version(&list.workers);
    let now = app.store.now().await?;
    let totals = Totals::of(&list.workers);
    let chosen = list.workers.into_iter().filter(|worker| {
        params.without.as_deref().is_none_or(|installation| worker.alive && lacks(worker, installation))
    });
    let frame = Frame::new(&app, &visitor, Section::Workers, "Workers").await;
    page(&WorkersPage {
        rows: chosen.map(|worker| WorkerRow::new(worker, common.as_deref(), now)).collect(),
        wanted: frame.snapshot.as_deref().and_then(|snapshot| snapshot.picture.workers_wanted()),
        frame,
        without: params.without,
        totals,
        scheduler: Scheduler {
            leads: status.enabled,
            name: status.worker_hostname,
            heartbeat_at: status.worker_heartbeat,
        },
        syncs: status.installations,
        steps: status.steps,
        now,
    })
}
