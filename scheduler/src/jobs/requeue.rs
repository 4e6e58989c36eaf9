//! Repair of the queue from the database: every open row must be waiting, delayed or leased there, or it is enqueued
//! again.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use chrono::TimeDelta;
use domain::{JobId, JobKind};
use queue::Ticket;
use store::OpenJob;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{Parts, StepError, periodic};

/// Interval between two comparisons of all open rows.
const COMPARISON_INTERVAL: Duration = Duration::from_secs(10);
/// Interval at which the queue's epoch is read, to detect its loss.
const EPOCH_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time a worker gets to put its leases back after the queue was lost: one lease of the default duration.
const LEASE_GRACE: Duration = Duration::from_secs(15);
/// Rows compared at a time.
const ROWS_PER_PAGE: i64 = 500;
/// Rows that one run of the step compares; the next run continues after them.
const MAX_ROWS_PER_RUN: usize = 200_000;

/// Epoch of the queue as one scheduler last saw it, with the progress of the comparison.
#[derive(Debug)]
pub struct EpochTracker {
    epoch: Option<String>,
    since: Instant,
    grace: Duration,
    /// Workers still have time to put their leases back.
    in_grace: bool,
    /// Comparison in progress, if the last run of the step did not finish it.
    unfinished: Option<Comparison>,
    max_rows: usize,
}

/// One comparison of all open rows, which may take several runs of the step.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    /// Newest row compared so far.
    after: Option<JobId>,
    /// The workers' time to put leases back was over when the comparison began.
    after_grace: bool,
}

impl Default for EpochTracker {
    fn default() -> Self {
        Self::with_grace(LEASE_GRACE)
    }
}

impl EpochTracker {
    /// Returns a tracker that gives workers `grace` to put their leases back.
    pub fn with_grace(grace: Duration) -> Self {
        Self {
            epoch: None,
            since: Instant::now(),
            grace,
            in_grace: true,
            unfinished: None,
            max_rows: MAX_ROWS_PER_RUN,
        }
    }

    /// Sets the number of rows that one run of the step compares.
    #[must_use]
    pub fn with_rows(self, max_rows: usize) -> Self {
        Self { max_rows, ..self }
    }

    /// Stores the queue's current epoch. Returns true if it is missing or differs from the last one.
    fn changed(&mut self, epoch: Option<String>) -> bool {
        let changed = epoch.is_none() || epoch != self.epoch;
        if changed {
            self.since = Instant::now();
            self.in_grace = true;
            self.unfinished = None;
        }
        self.epoch = epoch;
        changed
    }

    /// Returns whether the workers' time to put leases back is over.
    fn had_grace(&self) -> bool {
        self.since.elapsed() >= self.grace
    }

    /// Returns whether a comparison is due that finds jobs whose lease was not put back.
    fn is_grace_over(&self) -> bool {
        self.in_grace && self.had_grace()
    }

    /// Returns whether a running row without a lease has had its time.
    fn overdue(&self, job: &OpenJob) -> bool {
        let quiet = TimeDelta::from_std(self.grace).unwrap_or(TimeDelta::MAX);
        self.had_grace() && job.quiet_for >= quiet
    }
}

/// Runs a comparison every 10 s until draining. Also runs one at once when the queue was lost, and again when the
/// workers' time to put leases back is over.
pub(crate) async fn run_loop(parts: Parts, draining: CancellationToken) -> Result<(), Infallible> {
    let handle = parts.progress.register("sweep", COMPARISON_INTERVAL * 3 + periodic::MAX_STEP_TIME * 2);
    parts.steps.register("sweep", COMPARISON_INTERVAL, false);
    let mut ticks = interval(EPOCH_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tracker = EpochTracker::with_grace(parts.sync.lease);
    let mut last: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = draining.cancelled() => break,
        }
        let due = last.is_none_or(|last| last.elapsed() >= COMPARISON_INTERVAL)
            || tracker.is_grace_over()
            || tracker.unfinished.is_some();
        let gone = parts.queue.epoch().await.is_ok_and(|epoch| epoch.is_none() || epoch != tracker.epoch);
        if due || gone {
            let done = periodic::run_step("sweep", run(&parts, &mut tracker)).await;
            parts.steps.record("sweep", done.is_some());
            last = Some(Instant::now());
        }
        handle.tick();
    }
    handle.retire();
    Ok(())
}

/// Compares open rows with the queue, up to a number of rows; the next run continues after them. Returns the number of
/// jobs enqueued again.
///
/// # Errors
/// Returns an error when the database or the queue is unavailable. The next run continues where this one failed.
pub async fn run(parts: &Parts, tracker: &mut EpochTracker) -> Result<u64, StepError> {
    if tracker.changed(parts.queue.epoch().await?) {
        // The epoch is set before the queue is filled. If it is lost again, or another scheduler does not know it, the
        // comparison starts over.
        parts.queue.mark_epoch().await?;
        tracker.epoch = parts.queue.epoch().await?;
    }
    let begun = Comparison { after: None, after_grace: tracker.had_grace() };
    let mut comparison = *tracker.unfinished.insert(tracker.unfinished.unwrap_or(begun));
    let (mut seen, mut back) = (0, 0);
    while seen < tracker.max_rows {
        let open = parts.store.conn().await?.jobs().open(comparison.after, ROWS_PER_PAGE).await?;
        let Some(newest) = open.last else {
            tracker.unfinished = None;
            tracker.in_grace &= !comparison.after_grace;
            break;
        };
        comparison.after = Some(newest);
        seen += open.seen;
        back += requeue_missing(parts, tracker, &open.jobs).await?;
        tracker.unfinished = Some(comparison);
    }
    Ok(back)
}

async fn requeue_missing(parts: &Parts, tracker: &EpochTracker, rows: &[OpenJob]) -> Result<u64, StepError> {
    let ids: Vec<JobId> = rows.iter().map(|row| row.id).collect();
    let unknown: HashSet<JobId> = parts.queue.unknown(&ids).await?.into_iter().collect();
    let tickets: Vec<Ticket> = rows
        .iter()
        .filter(|row| unknown.contains(&row.id) && (!row.running || tracker.overdue(row)))
        .map(ticket)
        .collect();
    if tickets.is_empty() {
        return Ok(0);
    }
    Ok(parts.queue.enqueue(&tickets).await? as u64)
}

fn ticket(row: &OpenJob) -> Ticket {
    Ticket {
        job: row.id,
        installation: row.installation.clone(),
        lane: row.kind.lane(),
        team: row.team,
        weight: row.weight,
        cost: row.kind.cost(),
        age: row.age.to_std().unwrap_or_default(),
        time_left: row.time_left.to_std().unwrap_or_default(),
        delay: row.delay.to_std().unwrap_or_default(),
        // The job had its turn before its worker died, or a caller waits for its outcome.
        urgent: row.running || (row.kind == JobKind::DriftCheck && row.asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_checks_stay_urgent_after_a_flush() {
        let row = |kind, running, asked| OpenJob {
            id: JobId::new(),
            kind,
            installation: domain::InstallationId::default(),
            team: None,
            weight: 1.0,
            age: TimeDelta::zero(),
            time_left: TimeDelta::zero(),
            delay: TimeDelta::zero(),
            running,
            asked,
            quiet_for: TimeDelta::zero(),
        };
        assert!(ticket(&row(JobKind::DriftCheck, false, true)).urgent);
        assert!(ticket(&row(JobKind::Provision, true, false)).urgent, "the step has run");
        assert!(!ticket(&row(JobKind::DriftCheck, false, false)).urgent);
        assert!(!ticket(&row(JobKind::Deprovision, false, true)).urgent);
    }

    #[test]
    fn lost_leases_are_requeued_after_the_grace_period() {
        let mut tracker = EpochTracker::with_grace(Duration::ZERO);
        tracker.in_grace = false;
        assert!(!tracker.is_grace_over(), "nothing was lost");
        assert!(tracker.changed(Some("new".to_owned())) && tracker.is_grace_over());
        assert!(!tracker.changed(Some("new".to_owned())));
        let mut patient = EpochTracker::with_grace(Duration::from_hours(1));
        assert!(patient.changed(None) && !patient.is_grace_over());
    }
}
