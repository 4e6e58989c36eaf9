//! Runners that have been offline for very long.

use chrono::TimeDelta;
use domain::{Leftover, Runner};
use store::NewJob;

use crate::{Parts, StepError, send::send, unused::removal};

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

/// Sends a job after each of them. The job looks again: one that is back is left alone. Answers how many.
///
/// # Errors
/// The database's and the queue's.
pub async fn clean_up(parts: &Parts, age: TimeDelta) -> Result<u64, StepError> {
    let jobs: Vec<NewJob> =
        list(parts, age).await?.iter().map(|runner| removal(runner, Leftover::Stale)).collect();
    send(parts, &jobs).await
}

/// The same with the configured age.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    clean_up(&parts, parts.watch.stale_after).await
}
