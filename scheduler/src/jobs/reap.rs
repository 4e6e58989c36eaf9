//! Lookups of possible orphans: runners on GitHub left by calls whose response was lost. Each call gets a job of its
//! own until its result is certain.

use domain::{Call, JobParams, Removal};
use operations::service_job;
use queue::Ticket;
use store::{NewJob, StoreError};

use crate::{Parts, StepError};

/// Calls handled by one step.
const MAX_LOOKUPS_PER_STEP: i64 = 200;

/// Marks the intents of dead starts as suspected, and creates a lookup job for every suspected call that is due.
/// Returns the number of jobs.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let mut conn = parts.store.conn().await?;
    conn.github_calls().suspect_orphans(MAX_LOOKUPS_PER_STEP).await?;
    let due = conn.github_calls().due(MAX_LOOKUPS_PER_STEP).await?;
    drop(conn);
    let mut tickets = Vec::with_capacity(due.len());
    for call in &due {
        if let Some(ticket) = insert_lookup(&parts, call).await? {
            tickets.push(ticket);
        }
    }
    if !tickets.is_empty() {
        parts.queue.enqueue(&tickets).await?;
    }
    Ok(tickets.len() as u64)
}

/// Inserts the lookup job for one call. Returns `None` if another scheduler was faster.
async fn insert_lookup(parts: &Parts, call: &Call) -> Result<Option<Ticket>, StoreError> {
    let (call_id, runner_name) = (call.id, call.runner_name.clone());
    let params = JobParams::Deprovision(Removal::Orphan { call: call_id, runner_name });
    let job = NewJob { call: Some(call_id), ..service_job(&call.installation, None, None, params) };
    let inserted = parts.store.conn().await?.jobs().insert(&job).await;
    let job = match inserted {
        Ok(job) => job,
        Err(error) if error.constraint() == Some("jobs_one_open_reap") => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Ticket::for_job(&job, 1.0)))
}
