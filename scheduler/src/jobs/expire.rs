//! Expiry of jobs whose deadline has passed.

use chrono::TimeDelta;
use domain::Problem;
use operations::FailedJob;
use queue::Queue;

use crate::{Parts, StepError};

/// Jobs expired by one step.
const MAX_JOBS_PER_STEP: i64 = 500;

/// Extra time for a job that is running at its deadline. After it, the job's worker hangs or has lost its lease.
const LATE_START_GRACE: TimeDelta = TimeDelta::minutes(1);

/// Expires jobs whose deadline has passed; the runner of a provision job frees its place in the quota. A running job
/// gets extra time; expiry ends it if its worker has died. Returns the number of jobs.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let problem = Problem::job_expired();
    let mut tx = parts.store.begin().await?;
    let expired = tx.jobs().expire(&problem, LATE_START_GRACE, MAX_JOBS_PER_STEP).await?;
    for job in &expired {
        FailedJob::from(job).record(&mut tx, "its job expired", Some(&problem)).await?;
    }
    tx.commit().await?;
    for job in &expired {
        remove_from_queue(&parts.queue, job.id).await;
    }
    Ok(expired.len() as u64)
}

/// Removes the job from the queue and notifies waiting requests. If the queue is unavailable, the claim finds the final
/// row.
async fn remove_from_queue(queue: &Queue, job: domain::JobId) {
    if let Err(error) = queue.cancel(job).await {
        tracing::debug!(%job, %error, "an expired job could not be removed from the queue");
    }
    if let Err(error) = queue.announce(job, domain::JobState::Expired.as_str()).await {
        tracing::debug!(%job, %error, "the expiry could not be announced");
    }
}
