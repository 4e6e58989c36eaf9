//! Queue position of a job.

use domain::{Job, JobState, whole_seconds};
use queue::QueuePosition;

use crate::app::AppState;

/// Returns the position of a queued job, `None` for any other job or if the queue is unavailable.
pub(crate) async fn position(app: &AppState, job: &Job) -> Option<QueuePosition> {
    if job.state != JobState::Queued {
        return None;
    }
    app.queue.position(job.id).await.ok().flatten()
}

/// Returns the seconds after which a client should ask again.
pub(crate) fn retry_after(position: Option<&QueuePosition>) -> u64 {
    position.map_or(1, |position| whole_seconds(position.starts_in))
}
