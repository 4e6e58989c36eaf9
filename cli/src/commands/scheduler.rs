//! `rts scheduler`.

use runtime::config::Sources;

use super::database;
use crate::{args::Part, assemble, probe, process::Process};

/// Starts periodic work until a signal.
pub(crate) async fn run(sources: &Sources, part: Part) -> anyhow::Result<()> {
    let mut process = Process::start(sources, "scheduler")?;
    let parts = assemble::scheduler(sources, assemble::installations(sources)?)?;
    if let Some(listen) = part.listen {
        probe::start(&mut process, listen, parts.progress.clone()).await?;
    }
    let shutdown = process.shutdown.clone();
    match shutdown.draining().run_until_cancelled(database::await_schema(&parts.store)).await {
        Some(ready) => ready?,
        None => return process.end().await,
    }
    tracing::info!("scheduling");
    assemble::prime(&parts.installations, &parts.queue).await;
    process.run("scheduler", scheduler::run(parts, shutdown));
    process.end().await
}
