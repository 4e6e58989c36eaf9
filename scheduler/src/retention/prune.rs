//! Pruning of final jobs, deleted runners, batches and incidents that are over and, if configured, the audit log.

use std::time::Duration;

use chrono::TimeDelta;
use store::Pruned;
use tokio::time::Instant;

use crate::{Parts, StepError};

/// Approximate number of rows of one table that one transaction reads or removes.
const ROWS_PER_BATCH: i64 = 5000;
/// Number of batches, or of incidents, that one transaction removes; each has up to 10,000 items.
const MAX_BATCHES: i64 = 5;
/// Time after which a step starts no further round; less than a step's time limit.
const MAX_DURATION: Duration = Duration::from_secs(15);

/// Time for which rows are kept; `None` keeps them forever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For final jobs with their GitHub calls and shredded configs, and for batches.
    pub jobs: Option<TimeDelta>,
    /// For deleted runners and their transitions.
    pub runners: Option<TimeDelta>,
    /// For audit rows, security events and undone incidents.
    pub audit: Option<TimeDelta>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { jobs: Some(TimeDelta::days(30)), runners: Some(TimeDelta::days(90)), audit: None }
    }
}

/// Tables that are pruned, in this order: referring tables come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    /// Keys expire after seven days and jobs later, so no key refers to a pruned job.
    Keys,
    Sessions,
    Tickets,
    Jobs,
    Runners,
    Batches,
    Incidents,
    Audit,
    SecurityEvents,
}

impl Table {
    const ALL: [Self; 9] = [
        Self::Keys,
        Self::Sessions,
        Self::Tickets,
        Self::Jobs,
        Self::Runners,
        Self::Batches,
        Self::Incidents,
        Self::Audit,
        Self::SecurityEvents,
    ];
}

/// Removes rows that are older than their retention: one batch of each table per round while batches are full, in
/// bounded time. Returns the number of rows.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let begun = Instant::now();
    let mut full = Table::ALL.to_vec();
    let mut removed = 0;
    while !full.is_empty() && begun.elapsed() < MAX_DURATION {
        let mut next = Vec::new();
        for table in full {
            // Runners wait until no final job refers to them.
            if table == Table::Runners && next.contains(&Table::Jobs) {
                next.push(table);
                continue;
            }
            let batch = prune(&parts, table).await?;
            removed += batch.removed;
            if batch.is_full {
                next.push(table);
            }
        }
        full = next;
    }
    Ok(removed)
}

/// Prunes one batch of a table in a transaction of its own.
async fn prune(parts: &Parts, table: Table) -> Result<Pruned, StepError> {
    let keep = &parts.sync.retention;
    let age = match table {
        Table::Keys | Table::Sessions | Table::Tickets => Some(TimeDelta::zero()),
        // A batch names the jobs of its items.
        Table::Jobs | Table::Batches => keep.jobs,
        Table::Runners => keep.runners,
        // The audit log has the beginning and the end of an incident.
        Table::Incidents | Table::Audit | Table::SecurityEvents => keep.audit,
    };
    let Some(age) = age else { return Ok(Pruned { removed: 0, is_full: false }) };
    let forgotten = |removed: u64| Pruned { removed, is_full: removed >= ROWS_PER_BATCH.unsigned_abs() };
    let mut tx = parts.store.begin().await?;
    let pruned = match table {
        Table::Keys => forgotten(tx.idempotency().forget(ROWS_PER_BATCH).await?),
        Table::Sessions => forgotten(tx.sessions().forget(ROWS_PER_BATCH).await?),
        Table::Tickets => forgotten(tx.claim_tickets().forget(ROWS_PER_BATCH).await?),
        Table::Jobs => tx.retention().jobs(age, ROWS_PER_BATCH).await?,
        Table::Runners => tx.retention().runners(age, ROWS_PER_BATCH).await?,
        Table::Batches => tx.retention().batches(age, MAX_BATCHES).await?,
        Table::Incidents => tx.retention().incidents(age, MAX_BATCHES).await?,
        Table::Audit => tx.retention().audit(age, ROWS_PER_BATCH).await?,
        Table::SecurityEvents => tx.retention().security_events(age, ROWS_PER_BATCH).await?,
    };
    tx.commit().await?;
    Ok(pruned)
}
