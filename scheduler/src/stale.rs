//! Runners that have been offline for very long.

use chrono::TimeDelta;
use domain::{AuditEntry, Leftover, Runner};
use queue::QueueError;
use serde_json::json;
use store::NewJob;

use crate::{
    Parts, StepError,
    send::{forward, send},
    unused::removal,
};

/// Runners of one step.
const MOST: i64 = 500;

/// The runners that have been offline for longer than `age`, oldest first, at most 500: what [`clean_up`] would send
/// jobs after.
///
/// # Errors
/// The database's.
pub async fn list(parts: &Parts, age: TimeDelta) -> Result<Vec<Runner>, StepError> {
    Ok(parts.store.read().await?.runners().stale(age, MOST).await?)
}

/// What [`order`] came to.
#[derive(Debug)]
pub struct Ordered {
    /// Jobs committed.
    pub jobs: usize,
    /// Why the queue does not know of them yet; the sweep tells it.
    pub late: Option<QueueError>,
}

/// Sends a job after each of them. The job looks again: one that is back is left alone. Answers how many.
///
/// # Errors
/// The database's and the queue's.
pub async fn clean_up(parts: &Parts, age: TimeDelta) -> Result<u64, StepError> {
    send(parts, &removals(parts, age).await?).await
}

/// The same because somebody at a keyboard says so: written down for each runner as done `by` what they typed, and done
/// as soon as it is committed.
///
/// # Errors
/// The database's.
pub async fn order(parts: &Parts, age: TimeDelta, by: &str) -> Result<Ordered, StepError> {
    let wanted = removals(parts, age).await?;
    let mut tx = parts.store.begin().await?;
    let made = tx.jobs().insert_new(&wanted).await?;
    for job in &made {
        let entry = AuditEntry {
            runner: job.runner,
            runner_name: job.runner_name.clone(),
            team: job.team,
            job: Some(job.id),
            data: json!({ "by": by, "why": Leftover::Stale }),
            ..AuditEntry::service("runner.deprovision")
        };
        tx.audit().write(&entry).await?;
    }
    tx.commit().await?;
    match forward(parts, &made, |_| 1.0).await {
        Ok(_) => Ok(Ordered { jobs: made.len(), late: None }),
        Err(StepError::Queue(error)) => Ok(Ordered { jobs: made.len(), late: Some(error) }),
        Err(error) => Err(error),
    }
}

async fn removals(parts: &Parts, age: TimeDelta) -> Result<Vec<NewJob>, StepError> {
    Ok(list(parts, age).await?.iter().map(|runner| removal(runner, Leftover::Stale)).collect())
}

/// The same with the configured age.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    clean_up(&parts, parts.watch.stale_after).await
}
