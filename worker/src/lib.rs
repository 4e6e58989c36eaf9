//! Who does: a job is claimed, run and recorded. Between claiming and recording no transaction is open.
//!
//! The walk of a job: [`queue::backend()`] → [`handle`] → `jobs/` → GitHub → [`record`] → answer to the queue.

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

/// Runs one worker until `shutdown` drains it: it stops claiming at once, lets what runs end, and gives back what does
/// not end in time.
///
/// # Errors
/// When the runtime of the jobs breaks; a job, GitHub or a store never do that.
pub async fn run(parts: Parts, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut settings = BackendSettings::new(parts.name.clone(), parts.concurrency);
    settings.lease = parts.lease;
    settings.stop = shutdown.draining().clone();
    let (queue, name, concurrency) = (parts.queue.clone(), parts.name.clone(), parts.concurrency);
    let progress = parts.progress.clone();
    let app = App::new(parts, shutdown.forced().clone());
    let draining = shutdown.draining().clone();
    Monitor::new()
        .register(move |_| {
            let backend = queue::backend(queue.clone(), settings.clone());
            tokio::spawn(heartbeat::watch_loops(
                backend.dispatcher(),
                progress.clone(),
                settings.stop.clone(),
            ));
            tokio::spawn(heartbeat::run_heartbeat(app.clone(), backend.dispatcher(), settings.stop.clone()));
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
    Ok(run_claimed::handle(&app, claimed).await)
}
