//! Work on batches and incidents that no process works on: larger ones, and those whose process has died.

use operations::{BATCH_TIME, Operations, ProvisionRules};

use crate::{Parts, StepError};

/// Batches of one run. A run stays within a step's time limit.
const MAX_BATCHES: i64 = 2;

/// Works on the oldest idle batches. Returns their number.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let idle = parts.store.conn().await?.batch_runs().idle(MAX_BATCHES).await?;
    let operations = Operations::new(&parts.store, &parts.queue);
    let rules = ProvisionRules {
        default_groups: &parts.default_groups,
        registration_tokens: parts.registration_tokens,
        turns: None,
    };
    let mut worked_on = 0;
    for id in idle {
        let batch = operations.run_batch(&rules, id, &parts.sync.name, BATCH_TIME).await?;
        tracing::info!(batch = %id, state = %batch.state, done = batch.done, "worked on a batch");
        worked_on += 1;
    }
    Ok(worked_on)
}

/// Works on the oldest idle incidents. Returns their number.
pub async fn run_incidents(parts: Parts) -> Result<u64, StepError> {
    let idle = parts.store.conn().await?.incidents().idle(MAX_BATCHES).await?;
    let operations = Operations::new(&parts.store, &parts.queue);
    let mut worked_on = 0;
    for id in idle {
        let incident = operations.run_incident(id, &parts.sync.name, BATCH_TIME).await?;
        tracing::info!(incident = %id, state = %incident.state, "worked on an incident");
        worked_on += 1;
    }
    Ok(worked_on)
}
