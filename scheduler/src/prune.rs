//! What is over is not kept for ever: jobs, runners, and if so configured the audit log.

use chrono::TimeDelta;

use crate::{Parts, StepError};

/// Rows of one step, of all tables together.
const MOST: i64 = 5000;

/// How long what is over is kept; none: for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Final jobs, with their calls to GitHub and their emptied configs.
    pub jobs: Option<TimeDelta>,
    /// Deleted runners and their trails.
    pub runners: Option<TimeDelta>,
    /// Audit rows and security events.
    pub audit: Option<TimeDelta>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { jobs: Some(TimeDelta::days(30)), runners: Some(TimeDelta::days(90)), audit: None }
    }
}

/// Removes what was kept long enough, in the order in which one refers to the other. Answers how many rows went.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    let mut read = parts.store.read().await?;
    // Keys go after seven days and jobs later, so no key leads to a job that is gone.
    let mut gone = read.idempotency().forget(MOST).await?;
    let left = |gone: u64| MOST.saturating_sub_unsigned(gone);
    if let Some(age) = parts.watch.retention.jobs {
        gone += read.retention().jobs(age, left(gone)).await?;
    }
    if let Some(age) = parts.watch.retention.runners {
        gone += read.retention().trails(age, left(gone)).await?;
        gone += read.retention().cancellations(age, left(gone)).await?;
        gone += read.retention().runners(age, left(gone)).await?;
    }
    if let Some(age) = parts.watch.retention.audit {
        gone += read.retention().audit(age, left(gone)).await?;
        gone += read.retention().security_events(age, left(gone)).await?;
    }
    Ok(gone)
}
