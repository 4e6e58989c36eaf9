//! Worker: claims jobs, runs them against GitHub and records their outcomes. No transaction is open between claim and
//! record.
//!
//! Life of a job: [`queue::backend()`] → `run_claimed.rs` → `jobs/` → GitHub → `record.rs` → outcome for the queue.

mod app;
mod heartbeat;
mod jobs;
mod record;
mod run_claimed;

use apalis::prelude::{Data, Monitor, ParallelizeExt, WorkerBuilder, WorkerBuilderExt};
use queue::{BackendSettings, Claimed, Outcome};
use runtime::shutdown::Shutdown;

use app::App;
pub use app::{Parts, StepTimeouts};
use heartbeat::Stop;

/// Runs one worker until `shutdown` drains it. It then stops claiming at once, lets running jobs end, and gives back
/// the jobs that do not end in time.
///
/// # Errors
/// Returns an error when the job runtime breaks. Failures of a job, of GitHub or of a store are no errors here.
pub async fn run(parts: Parts, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut settings = BackendSettings::new(parts.name.clone(), parts.concurrency);
    settings.lease = parts.lease;
    let stop = Stop { process: shutdown.draining().clone(), claims: shutdown.draining().child_token() };
    settings.stop = stop.claims.clone();
    let (queue, name, concurrency) = (parts.queue.clone(), parts.name.clone(), parts.concurrency);
    let progress = parts.progress.clone();
    let app = App::new(parts, shutdown.forced().clone());
    let draining = shutdown.draining().clone();
    Monitor::new()
        .register(move |_| {
            let backend = queue::backend(queue.clone(), settings.clone());
            let watched =
                heartbeat::watch_loops(backend.dispatcher(), progress.clone(), stop.process.clone());
            tokio::spawn(watched);
            tokio::spawn(heartbeat::run_heartbeat(app.clone(), backend.dispatcher(), stop.clone()));
            WorkerBuilder::new(name.as_str())
                .backend(backend)
                .concurrency(concurrency)
                .data(app.clone())
                .parallelize(tokio::spawn)
                .build(perform)
        })
        .run_with_signal(async move {
            draining.cancelled().await;
            Ok(())
        })
        .await?;
    Ok(())
}

async fn perform(claimed: Claimed, app: Data<App>) -> Result<Outcome, std::convert::Infallible> {
    Ok(run_claimed::run_claimed(&app, claimed).await)
}
