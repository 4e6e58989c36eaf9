//! Removal of runners that have been offline for long, ordered by an operator.

use chrono::TimeDelta;
use domain::{ReclaimReason, Runner};
use queue::{QueueError, Ticket};
use serde_json::json;
use store::NewJob;

use crate::{Administrator, Operations, Result, leftover_removal};

/// Most runners of one call.
const MAX_RUNNERS: i64 = 500;

/// The removals that were ordered.
#[derive(Debug)]
pub struct OrderedRemovals {
    /// Jobs committed.
    pub jobs: usize,
    /// Why the queue does not know them yet; the sweep puts them in.
    pub queue_error: Option<QueueError>,
}

impl Operations<'_> {
    /// Returns the runners that have been offline for longer than `age`, oldest first, at most 500.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_stale_runners(&self, age: TimeDelta) -> Result<Vec<Runner>> {
        Ok(self.store.conn().await?.runners().stale(age, MAX_RUNNERS).await?)
    }

    /// Orders a removal job for each of [`Self::list_stale_runners`], and writes each down. The job asks GitHub again: a
    /// runner that is back by then is left alone.
    ///
    /// # Errors
    /// The database's.
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
