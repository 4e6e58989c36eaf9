//! Removal of stale runners by an operator.

use chrono::TimeDelta;
use domain::{ReclaimReason, Runner};
use queue::{QueueError, Ticket};
use serde_json::json;
use store::NewJob;

use crate::{Administrator, Operations, Result, leftover_removal};

/// Most removals in one call.
const MAX_RUNNERS: i64 = 500;

/// The removals that were requested.
#[derive(Debug)]
pub struct OrderedRemovals {
    /// Number of committed jobs.
    pub jobs: usize,
    /// Error of enqueueing them, if any; the requeue step enqueues them later.
    pub queue_error: Option<QueueError>,
}

impl Operations<'_> {
    /// Returns the runners that have been offline for longer than `age`, oldest first, at most 500.
    ///
    /// # Errors
    /// Database errors.
    pub async fn list_stale_runners(&self, age: TimeDelta) -> Result<Vec<Runner>> {
        Ok(self.store.conn().await?.runners().stale(age, MAX_RUNNERS).await?)
    }

    /// Inserts a removal job for each of [`Self::list_stale_runners`], with an audit row each. The job asks GitHub
    /// again; a runner that is online by then stays.
    ///
    /// # Errors
    /// Database errors.
    pub async fn remove_stale_runners(
        &self,
        admin: &Administrator,
        age: TimeDelta,
    ) -> Result<OrderedRemovals> {
        let stale = self.list_stale_runners(age).await?;
        let wanted: Vec<NewJob> =
            stale.iter().map(|runner| leftover_removal(runner, ReclaimReason::Stale)).collect();
        let mut tx = self.store.begin().await?;
        let made = tx.jobs().insert_new(&wanted).await?;
        for job in &made {
            let details = json!({ "why": ReclaimReason::Stale });
            let entry = admin.record("runner.deprovision", job.team, details).about_job(job);
            tx.audit().write(&entry).await?;
        }
        tx.commit().await?;
        let tickets: Vec<Ticket> = made.iter().map(|job| Ticket::for_job(job, 1.0)).collect();
        let queue_error = self.queue.enqueue(&tickets).await.err();
        Ok(OrderedRemovals { jobs: made.len(), queue_error })
    }
}
