//! Where a job stands in the queue.

use domain::{Job, JobState, whole_seconds};
use queue::QueuePosition;

use crate::app::AppState;

/// Where a job that waits stands; none for any other, or when the queue is away.
pub(crate) async fn position(app: &AppState, job: &Job) -> Option<QueuePosition> {
    if job.state != JobState::Queued {
        return None;
    }
    app.queue.position(job.id).await.ok().flatten()
}

/// Seconds after which asking again makes sense.
pub(crate) fn retry_after(standing: Option<&QueuePosition>) -> u64 {
    standing.map_or(1, |standing| whole_seconds(standing.starts_in))
}
