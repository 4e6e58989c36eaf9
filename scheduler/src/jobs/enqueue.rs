//! Insertion and enqueueing of the service's own jobs.

use domain::Job;
use queue::Ticket;
use store::NewJob;

use crate::{Parts, StepError};

/// Inserts the jobs that no open job makes needless, and enqueues them. Returns their number.
pub(crate) async fn insert_and_enqueue(parts: &Parts, jobs: &[NewJob]) -> Result<u64, StepError> {
    let made = parts.store.conn().await?.jobs().insert_new(jobs).await?;
    enqueue(parts, &made, |_| 1.0).await
}

/// Enqueues committed jobs. If the queue is unavailable, the requeue step enqueues them later.
pub(crate) async fn enqueue(
    parts: &Parts,
    jobs: &[Job],
    weight: impl Fn(&Job) -> f64,
) -> Result<u64, StepError> {
    let tickets: Vec<Ticket> = jobs.iter().map(|job| Ticket::for_job(job, weight(job))).collect();
    if !tickets.is_empty() {
        parts.queue.enqueue(&tickets).await?;
    }
    Ok(jobs.len() as u64)
}
