//! A chaos run: the service's real processes under load, while workers, stores, paths and GitHub fail by a schedule
//! that follows from a seed; then oracles say whether every promise was kept.
//!
//! Everything is private to the run: servers, ports, folder. Every process is ended by its own id, however the run
//! ends.

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
    churn::Churn, client::Client, environment::Environment, evidence::Evidence,
    excused_periods::ExcusedPeriods, faults::Hand, load::Load, progress::Progress,
    redis_snapshot::SnapshotWatcher, slowness::Slowness, watch::Watch,
};

/// Runs a plan to its end and judges it. Builds `rts` first.
///
/// # Errors
/// When something could not be put up or read at the end; the folder with the logs is named and kept.
pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let folder = folder(plan.seed)?;
    let keep = folder.clone();
    let given = plan.rts.clone();
    let program = tokio::task::spawn_blocking(move || processes::program(given.as_deref(), &keep)).await??;
    let kept = || format!("logs and events are in {}", folder.display());
    let report = judged(plan, program, &folder).await.with_context(kept)?;
    if report.passed() {
        // Nothing depends on it.
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(report)
}

async fn judged(plan: &Plan, program: PathBuf, folder: &Path) -> anyhow::Result<Report> {
    let (begun, slowness) = (Instant::now(), Slowness::start());
    let stage = Environment::build(plan, program, folder).await?;
    stage.log.note(format_args!("seed {}: everything is up; stores' clocks: {}", plan.seed, plan.clocks));
    let until = Instant::now() + plan.all() + plan.quiet / 2;
    let load = Load::new(Client::new(stage.clone(), until), plan);
    let (watch, hand) = (Watch::start(stage.clone()), Hand::new(stage.clone()));
    let (held, peek) = (ExcusedPeriods::start(stage.queue()?), SnapshotWatcher::start(stage.clone()));
    let told = Progress::start((&stage, &hand, &load), plan);
    let churn = Churn::start(stage.twin.control())?;
    let asking = async { load.run(plan).await };
    let failing = async {
        hand.run(plan.schedule()).await;
        stage.log.note("the faults are over");
        let unmanaged = churn.end();
        cooldown::heal(&stage)?;
        anyhow::Ok(unmanaged)
    };
    let ((), unmanaged) = tokio::join!(asking, failing);
    let unmanaged = unmanaged?;
    stage.log.note("the callers are done");
    let settled = cooldown::settle(&stage, plan.quiet, &slowness).await?;
    drop(told);
    let seen = (watch.end().await?, held.holds(), peek.looks());
    let evidence =
        Evidence::collect((&stage, plan.lease), (load.client.tally.counts(), hand.deeds(), settled), seen)
            .await?;
    let evidence = Evidence { slowness: slowness.factor(), clocks: plan.clocks, unmanaged, ..evidence };
    Ok(Report::new(plan, &evidence, begun.elapsed(), folder.to_path_buf()))
}

/// A new folder for logs, keys and events.
fn folder(seed: u64) -> anyhow::Result<PathBuf> {
    let name = format!("rts-chaos-{seed}-{}", uuid::Uuid::now_v7().simple());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
