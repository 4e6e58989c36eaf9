//! A job that was not done before its deadline is final: nobody is waiting any more.

use chrono::TimeDelta;
use domain::{AuditEntry, JobKind, Problem, Source};
use queue::Queue;
use serde_json::json;
use store::ExpiredJob;

use crate::{Parts, StepError};

/// Jobs of one step.
const MAX_JOBS_PER_STEP: i64 = 500;

/// What runs at its deadline may end so much later. Whoever holds it then has a lease that is long over, or hangs.
const LATE_START_GRACE: TimeDelta = TimeDelta::minutes(1);

/// Expires jobs whose deadline has passed; a provision's runner gives its place in the quota back. What runs is left its
/// time: if no worker is there any more, nobody else ends it. Answers how many.
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
        announce(&parts.queue, job.id).await;
    }
    Ok(expired.len() as u64)
}

/// Whether the job's runner ends with it. Of a kind that this version does not know it ends if nothing was handed out.
fn made_runner(job: &ExpiredJob) -> bool {
    job.kind.parse().map_or(job.runner_requested, JobKind::makes_runner)
}

/// What the queue does not hear now it finds out when it claims the job: the row is final.
async fn announce(queue: &Queue, job: domain::JobId) {
    if let Err(error) = queue.cancel(job).await {
        tracing::debug!(%job, %error, "an expired job is still in the queue");
    }
    if let Err(error) = queue.announce(job, domain::JobState::Expired.as_str()).await {
        tracing::debug!(%job, %error, "not announced");
    }
}
