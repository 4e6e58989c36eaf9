//! `rts worker`.

use runtime::config::Sources;

use super::database;
use crate::{args::ProcessArgs, probe, process::Process, wiring};

/// Runs jobs until a signal.
pub(crate) async fn run(sources: &Sources, part: ProcessArgs) -> anyhow::Result<()> {
    let mut process = Process::start(sources, "worker")?;
    let parts = wiring::worker(sources, wiring::installations(sources)?, name())?;
    if let Some(listen) = part.listen {
        probe::start(&mut process, listen, parts.progress.clone()).await?;
    }
    let store = parts.store.clone();
    let shutdown = process.shutdown.clone();
    match shutdown.draining().run_until_cancelled(database::await_schema(&store)).await {
        Some(ready) => ready?,
        None => return process.end().await,
    }
    tracing::info!(name = parts.name, concurrency = parts.concurrency, "working");
    wiring::fetch_rate_limits(&parts.installations, &parts.queue).await;
    let loops = parts.progress.clone();
    process.run("worker", worker::run(parts, shutdown));
    process.notify_service_manager(loops);
    let ended = process.end().await;
    store.close().await;
    ended
}

/// Returns the worker's name: host, process id, and a random suffix for containers with equal names.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "worker" } else { host.trim() };
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{host}-{}-{}", std::process::id(), &random[..4])
}
