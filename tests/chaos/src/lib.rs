//! Chaos runs: the service's real processes under load, while workers, stores, network paths and GitHub fail by a
//! schedule derived from a seed. Oracles then check every invariant.
//!
//! Servers, ports and folder are private to the run. Every process is ended by its own id, however the run ends.

mod abuse;
mod action;
mod canary_search;
mod choices;
mod churn;
mod client;
mod clocks;
mod cooldown;
mod environment;
mod evidence;
mod excused_periods;
mod fault_schedule;
mod faults;
mod history;
mod load;
mod log;
mod oracles;
mod people;
mod plan;
mod processes;
mod progress;
mod proxy;
mod redis_snapshot;
mod report;
mod response_counts;
mod search;
mod slowness;
mod standby;
mod story;
mod watch;

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::time::Instant;

pub use crate::{
    action::{Action, Backing, Line, Role, Step, Trouble},
    clocks::Clocks,
    oracles::Verdict,
    plan::Plan,
    report::Report,
};
use crate::{
    churn::Churn,
    client::Client,
    environment::Environment,
    evidence::{Evidence, Records},
    excused_periods::ExcusedPeriodsWatcher,
    faults::FaultInjector,
    load::Load,
    progress::Progress,
    redis_snapshot::SnapshotWatcher,
    slowness::Slowness,
    watch::Watch,
};

/// Executes a plan and judges the result. Builds `rts` first.
///
/// # Errors
/// When something could not be started, or read at the end. The error names the folder with the logs, which is kept.
pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let folder = folder(plan.seed)?;
    let keep = folder.clone();
    let given = plan.rts.clone();
    let program = tokio::task::spawn_blocking(move || processes::program(given.as_deref(), &keep)).await??;
    let kept = || format!("logs and events are in {}", folder.display());
    let report = run_and_judge(plan, program, &folder).await.with_context(kept)?;
    if report.passed() {
        // A left-over folder does no harm.
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(report)
}

async fn run_and_judge(plan: &Plan, program: PathBuf, folder: &Path) -> anyhow::Result<Report> {
    let (begun, slowness) = (Instant::now(), Slowness::start());
    let environment = Environment::build(plan, program, folder).await?;
    environment
        .log
        .write(format_args!("seed {}: everything is up; stores' clocks: {}", plan.seed, plan.clocks));
    let until = Instant::now() + plan.all() + plan.quiet / 2;
    let load = Load::new(Client::new(environment.clone(), until), plan);
    let (watch, injector) = (Watch::start(environment.clone()), FaultInjector::new(environment.clone()));
    let (excused, snapshots) =
        (ExcusedPeriodsWatcher::start(environment.queue()?), SnapshotWatcher::start(environment.clone()));
    let progress = Progress::start(&environment, &injector, &load, plan);
    let churn = Churn::start(environment.twin.control())?;
    let asking = async { load.run(plan).await };
    let failing = async {
        injector.run(plan.schedule()).await;
        environment.log.write("the faults are over");
        let unmanaged = churn.end();
        cooldown::heal(&environment)?;
        anyhow::Ok(unmanaged)
    };
    let ((), unmanaged) = tokio::join!(asking, failing);
    let unmanaged = unmanaged?;
    environment.log.write("the callers are done");
    let settled = cooldown::settle(&environment, plan.quiet, &slowness).await?;
    drop(progress);
    let records = Records {
        lease: plan.lease,
        responses: load.client.responses.counts(),
        executed_faults: injector.executed_faults(),
        settled,
        seen: watch.end().await?,
        excused: excused.periods(),
        looks: snapshots.looks(),
    };
    let evidence = Evidence::collect(&environment, records).await?;
    let evidence = Evidence { slowness: slowness.factor(), clocks: plan.clocks, unmanaged, ..evidence };
    Ok(Report::new(plan, &evidence, begun.elapsed(), folder.to_path_buf()))
}

/// Creates a new folder for logs, keys and events.
fn folder(seed: u64) -> anyhow::Result<PathBuf> {
    let name = format!("rts-chaos-{seed}-{}", uuid::Uuid::now_v7().simple());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
