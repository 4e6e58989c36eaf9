//! Jobs the service gives itself.

use domain::Job;
use queue::Ticket;
use store::NewJob;

use crate::{Parts, StepError};

/// Commits those of the jobs that no other job makes needless, and puts them on their way. Answers how many.
pub(crate) async fn insert_and_enqueue(parts: &Parts, jobs: &[NewJob]) -> Result<u64, StepError> {
    let made = parts.store.conn().await?.jobs().insert_new(jobs).await?;
    enqueue(parts, &made, |_| 1.0).await
}

/// Puts committed jobs on their way. What the queue does not hear now, the sweep tells it.
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
