//! Expiry of jobs whose deadline has passed.

use chrono::TimeDelta;
use domain::{AuditEntry, JobKind, Problem, Source};
use queue::Queue;
use serde_json::json;
use store::ExpiredJob;

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
        if let Some(runner) = job.runner.filter(|_| made_runner(job)) {
            tx.runners().mark_deleted(runner, Source::Job, "its job expired").await?;
        }
        let entry = AuditEntry {
            requester: job.requester,
            runner: job.runner,
            runner_name: job.runner_name.clone(),
            team: job.team,
            job: Some(job.id),
            data: json!({ "kind": job.kind, "code": problem.code }),
            error: Some(problem.detail.clone()),
            ..AuditEntry::service("job.failed")
        };
        tx.audit().write(&entry).await?;
    }
    tx.commit().await?;
    for job in &expired {
        remove_from_queue(&parts.queue, job.id).await;
    }
    Ok(expired.len() as u64)
}

/// Returns whether the job's runner ends with the job. For a kind of job that this version does not know, it ends if
/// nothing was handed out.
fn made_runner(job: &ExpiredJob) -> bool {
    job.kind.parse().map_or(job.runner_requested, JobKind::makes_runner)
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
