//! The truth put back into the queue: every open row is waiting, delayed or leased there, or it is put there.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use chrono::TimeDelta;
use domain::{JobId, JobKind};
use queue::Ticket;
use store::OpenJob;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{Parts, StepError, periodic};

/// How often all open rows are compared.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How often the queue is asked whether it was lost.
const EPOCH_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time a worker gets to put its leases back after the queue was lost: one lease, as long as leases are by default.
const LEASE_GRACE: Duration = Duration::from_secs(15);
/// Rows compared at a time.
const ROWS_PER_PAGE: i64 = 500;
/// Rows one sweep compares; the next goes on where it ended.
const MAX_ROWS_PER_SWEEP: usize = 200_000;

/// What one scheduler remembers of the queue's history.
#[derive(Debug)]
pub struct EpochTracker {
    epoch: Option<String>,
    since: Instant,
    grace: Duration,
    /// Workers still have time to put their leases back.
    in_grace: bool,
    /// The comparison under way, if the last sweep did not come to its end.
    unfinished: Option<Comparison>,
    most: usize,
}

/// One comparison of all open rows, which may take several sweeps.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    /// The newest row compared so far.
    after: Option<JobId>,
    /// Workers had had their time when it began.
    granted: bool,
}

impl Default for EpochTracker {
    fn default() -> Self {
        Self::with_grace(LEASE_GRACE)
    }
}

impl EpochTracker {
    /// A memory that gives workers so long to put their leases back.
    pub fn with_grace(grace: Duration) -> Self {
        Self {
            epoch: None,
            since: Instant::now(),
            grace,
            in_grace: true,
            unfinished: None,
            most: MAX_ROWS_PER_SWEEP,
        }
    }

    /// A memory of which one sweep compares so many rows.
    #[must_use]
    pub fn with_rows(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Takes the queue's mark in. True: it is gone, or not the one we knew.
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

    /// Whether workers have had their time since the queue was lost.
    fn had_grace(&self) -> bool {
        self.since.elapsed() >= self.grace
    }

    /// Whether it is time for the look that finds what nobody put back.
    fn is_grace_over(&self) -> bool {
        self.in_grace && self.had_grace()
    }

    /// Whether a running row without a lease has had its time.
    fn overdue(&self, job: &OpenJob) -> bool {
        let quiet = TimeDelta::from_std(self.grace).unwrap_or(TimeDelta::MAX);
        self.had_grace() && job.quiet_for >= quiet
    }
}

/// Compares every 10 s, at once when the queue was lost, and again when workers had their time to put leases back; until
/// draining.
pub(crate) async fn run_loop(parts: Parts, draining: CancellationToken) -> Result<(), Infallible> {
    let handle = parts.progress.register("sweep", SWEEP_INTERVAL * 3 + periodic::MAX_STEP_TIME * 2);
    let mut ticks = interval(EPOCH_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut memory = EpochTracker::with_grace(parts.sync.lease);
    let mut last: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = draining.cancelled() => break,
        }
        let due = last.is_none_or(|last| last.elapsed() >= SWEEP_INTERVAL)
            || memory.is_grace_over()
            || memory.unfinished.is_some();
        let gone = parts.queue.epoch().await.is_ok_and(|epoch| epoch.is_none() || epoch != memory.epoch);
        if due || gone {
            periodic::run_step("sweep", run(&parts, &mut memory)).await;
            last = Some(Instant::now());
        }
        handle.tick();
    }
    handle.retire();
    Ok(())
}

/// Compares open rows with the queue, up to a number of them; the next sweep goes on there. Returns how many jobs were put
/// back.
///
/// # Errors
/// When the database or the queue is away. The next sweep goes on where this one failed.
pub async fn run(parts: &Parts, tracker: &mut EpochTracker) -> Result<u64, StepError> {
    if tracker.changed(parts.queue.epoch().await?) {
        // Marked before it is filled: a mark that is gone again, or a scheduler that knows no mark, begins anew.
        parts.queue.mark_epoch().await?;
        tracker.epoch = parts.queue.epoch().await?;
    }
    let begun = Comparison { after: None, granted: tracker.had_grace() };
    let mut comparison = *tracker.unfinished.insert(tracker.unfinished.unwrap_or(begun));
    let (mut seen, mut back) = (0, 0);
    while seen < tracker.most {
        let open = parts.store.conn().await?.jobs().open(comparison.after, ROWS_PER_PAGE).await?;
        let Some(newest) = open.last else {
            tracker.unfinished = None;
            tracker.in_grace &= !comparison.granted;
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
        // It had its turn before its worker died, or somebody looks at its answer.
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
        assert!(ticket(&row(JobKind::Provision, true, false)).urgent, "it had its turn");
        assert!(!ticket(&row(JobKind::DriftCheck, false, false)).urgent);
        assert!(!ticket(&row(JobKind::Deprovision, false, true)).urgent);
    }

    #[test]
    fn lost_leases_are_requeued_after_the_grace_period() {
        let mut memory = EpochTracker::with_grace(Duration::ZERO);
        memory.in_grace = false;
        assert!(!memory.is_grace_over(), "nothing was lost");
        assert!(memory.changed(Some("new".to_owned())) && memory.is_grace_over());
        assert!(!memory.changed(Some("new".to_owned())));
        let mut patient = EpochTracker::with_grace(Duration::from_hours(1));
        assert!(patient.changed(None) && !patient.is_grace_over());
    }
}
