//! `rts scheduler`.

use runtime::config::Sources;

use super::database;
use crate::{args::ProcessArgs, probe, process::Process, wiring};

/// Runs periodic work until a signal.
pub(crate) async fn run(sources: &Sources, part: ProcessArgs) -> anyhow::Result<()> {
    let mut process = Process::start(sources, "scheduler")?;
    let parts = wiring::scheduler(sources, wiring::installations(sources)?)?;
    if let Some(listen) = part.listen {
        probe::start(&mut process, listen, parts.progress.clone()).await?;
    }
    let shutdown = process.shutdown.clone();
    match shutdown.draining().run_until_cancelled(database::await_schema(&parts.store)).await {
        Some(ready) => ready?,
        None => return process.end().await,
    }
    tracing::info!("scheduling");
    wiring::fetch_rate_limits(&parts.installations, &parts.queue).await;
    let loops = parts.progress.clone();
    process.run("scheduler", scheduler::run(parts, shutdown));
    process.notify_service_manager(loops);
    process.end().await
}
