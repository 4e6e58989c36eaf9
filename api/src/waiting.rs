//! Waiting for a job without asking for it again and again.

use std::time::Duration;

use domain::{Job, JobId};
use tokio::time::{Instant, timeout_at};

use crate::{app::App, error::ApiResult};

/// How often the row is read although no news of it came: news can be lost, rows cannot.
pub(crate) const SAFETY_POLL: Duration = Duration::from_secs(2);

/// The job, once it is final or the time is over (or the process begins to stop). None: there is no such job.
pub(crate) async fn until_final(app: &App, id: JobId, wait: Duration) -> ApiResult<Option<Job>> {
    until(app, id, wait, |job| job.state.is_final()).await
}

/// The same, until it is as wished.
pub(crate) async fn until(
    app: &App,
    id: JobId,
    wait: Duration,
    wished: impl Fn(&Job) -> bool,
) -> ApiResult<Option<Job>> {
    let end = Instant::now() + wait;
    loop {
        let mut watch = app.announcements.watch(id);
        let job = app.store.read().await?.jobs().get(id).await?;
        let Some(job) = job else { return Ok(None) };
        if wished(&job) || Instant::now() >= end || app.draining.is_cancelled() {
            return Ok(Some(job));
        }
        let pause = end.min(Instant::now() + SAFETY_POLL);
        tokio::select! {
            _ = timeout_at(pause, watch.next()) => {}
            () = app.draining.cancelled() => {}
        }
    }
}
