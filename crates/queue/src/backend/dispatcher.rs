//! Dispatcher of one worker: the task that claims jobs, delivers them to handlers and settles them in Redis.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use apalis_core::worker::context::WorkerContext;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{ack::Ack, inbox::Inbox, lease_table::LeaseTable, renewer, wakeup::WakeupListener};
use crate::{Claimer, Lease, Queue, QueueError, Settle, loop_heartbeat::LoopHeartbeat};

/// Interval at which apalis' stop flag is read, because apalis has no event for it.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// First wait after a failed Redis call.
const MIN_BACK_OFF: Duration = Duration::from_millis(200);
/// Longest wait after a failed Redis call.
const MAX_BACK_OFF: Duration = Duration::from_secs(2);
/// Longest time to flush acknowledgements after the worker is closed.
const MAX_FLUSH: Duration = Duration::from_secs(5);

/// A view of a running dispatcher.
#[derive(Clone, Debug)]
pub struct Dispatcher(Arc<View>);

#[derive(Debug, Default)]
struct View {
    dispatcher: LoopHeartbeat,
    renewer: LoopHeartbeat,
    wakeup: LoopHeartbeat,
    in_flight: AtomicUsize,
}

impl Dispatcher {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Returns the time of each loop's last iteration: the dispatcher, the lease renewer and the wake-up listener. No
    /// loop is silent for half a minute, even while Redis fails.
    pub fn loops(&self) -> [(&'static str, Instant); 3] {
        let view = &*self.0;
        [
            ("worker_dispatcher", view.dispatcher.last()),
            ("worker_renewer", view.renewer.last()),
            ("worker_bell", view.wakeup.last()),
        ]
    }

    pub(super) fn renewer(&self) -> &LoopHeartbeat {
        &self.0.renewer
    }

    pub(super) fn wakeup(&self) -> &LoopHeartbeat {
        &self.0.wakeup
    }

    /// Returns the number of jobs the worker holds, unstarted and unsettled ones included.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    fn record_turn(&self, in_flight: usize) {
        self.0.dispatcher.tick();
        self.0.in_flight.store(in_flight, Ordering::Relaxed);
    }
}

/// Parts of a dispatcher.
pub(super) struct DispatcherParts {
    pub(super) queue: Queue,
    pub(super) claimer: Claimer,
    pub(super) concurrency: usize,
    pub(super) stop: CancellationToken,
    pub(super) closing: CancellationToken,
    pub(super) inbox: Arc<Inbox>,
    pub(super) acks: mpsc::UnboundedReceiver<Ack>,
    pub(super) dispatcher: Dispatcher,
}

/// Dispatches until the backend is closed and every acknowledgement is flushed.
pub(super) async fn run(parts: DispatcherParts, worker: WorkerContext) {
    let leases = Arc::new(LeaseTable::default());
    let (wakeup, listener) = WakeupListener::new(parts.queue.clone(), parts.dispatcher.clone());
    let (lease, dispatcher) = (parts.claimer.lease, parts.dispatcher.clone());
    let renewer = renewer::renew(parts.queue.clone(), leases.clone(), lease, dispatcher);
    let background = CancellationToken::new();
    let _background_guard = background.clone().drop_guard();
    tokio::spawn(background.clone().run_until_cancelled_owned(listener));
    tokio::spawn(background.run_until_cancelled_owned(renewer));
    let now = Instant::now();
    let dispatching = Dispatching {
        parts,
        worker,
        leases,
        wakeup,
        pending: Vec::new(),
        claim_at: now,
        settle_at: now,
        back_off: MIN_BACK_OFF,
        give_up: None,
    };
    dispatching.run().await;
}

struct Dispatching {
    parts: DispatcherParts,
    worker: WorkerContext,
    leases: Arc<LeaseTable>,
    wakeup: WakeupListener,
    /// Acknowledgements that Redis has not confirmed.
    pending: Vec<Ack>,
    claim_at: Instant,
    settle_at: Instant,
    back_off: Duration,
    give_up: Option<Instant>,
}

impl Dispatching {
    async fn run(mut self) {
        loop {
            let stopping = self.stopping();
            self.parts.dispatcher.record_turn(self.leases.len());
            self.collect(stopping);
            self.settle().await;
            if self.finished() {
                break;
            }
            if !stopping && self.free() > 0 && self.claim_at <= Instant::now() {
                self.claim().await;
                continue;
            }
            self.wait(stopping).await;
        }
        // A wake-up token that this worker popped and did not use is passed on to another worker.
        if let Err(error) = self.parts.queue.wake_one().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "A wake-up could not be passed on");
        }
    }

    fn stopping(&self) -> bool {
        self.parts.stop.is_cancelled() || self.parts.closing.is_cancelled() || self.worker.is_shutting_down()
    }

    fn free(&self) -> usize {
        self.parts.concurrency.saturating_sub(self.leases.len())
    }

    /// Collects the acknowledgements of the handlers and, when stopping, the jobs that were never delivered.
    fn collect(&mut self, stopping: bool) {
        if stopping {
            for job in self.parts.inbox.take_back() {
                self.pending.push(Ack { lease: job.lease, end: Settle::Release, unsent: true });
            }
        }
        while let Ok(ack) = self.parts.acks.try_recv() {
            self.accept(ack);
        }
    }

    fn accept(&mut self, ack: Ack) {
        if self.leases.is_lost(&ack.lease) {
            self.leases.remove(&ack.lease);
        } else {
            self.pending.push(ack);
        }
    }

    async fn settle(&mut self) {
        if self.pending.is_empty() || self.settle_at > Instant::now() {
            return;
        }
        let settle_lock = self.leases.settle_lock.lock().await;
        match self.parts.queue.settle_all(&self.pending).await {
            Ok(owned) => {
                for (Ack { lease, end, .. }, owned) in self.pending.drain(..).zip(owned) {
                    self.leases.remove(&lease);
                    let outcome = if owned { end.as_str() } else { "lost" };
                    metrics::counter!("rts_queue_settled_total", "outcome" => outcome).increment(1);
                }
                drop(settle_lock);
                self.back_off = MIN_BACK_OFF;
            }
            Err(error) => {
                drop(settle_lock);
                self.settle_at = self.retry_at(&error);
            }
        }
    }

    async fn claim(&mut self) {
        let want = self.free().min(100);
        let began = Instant::now();
        match self.parts.queue.claim(&self.parts.claimer, want).await {
            Ok(claim) => {
                self.back_off = MIN_BACK_OFF;
                self.claim_at = Instant::now() + claim.wait;
                for lease in claim.jobs {
                    count_claim(&lease);
                    let job = self.leases.add(lease, began);
                    self.parts.inbox.put(job);
                }
                metrics::gauge!("rts_queue_in_flight")
                    .set(u32::try_from(self.leases.len()).unwrap_or(u32::MAX));
            }
            Err(error) => self.claim_at = self.retry_at(&error),
        }
    }

    /// Returns the time of the next attempt after a failed Redis call. apalis does not see the failure.
    fn retry_at(&mut self, error: &QueueError) -> Instant {
        tracing::warn!(error = error as &dyn std::error::Error, "Redis call failed; trying again");
        let at = Instant::now() + self.back_off;
        self.back_off = (self.back_off * 2).min(MAX_BACK_OFF);
        at
    }

    fn finished(&mut self) -> bool {
        if !self.parts.closing.is_cancelled() {
            return false;
        }
        let give_up = *self.give_up.get_or_insert_with(|| Instant::now() + MAX_FLUSH);
        self.leases.len() == 0 || Instant::now() >= give_up
    }

    async fn wait(&mut self, stopping: bool) {
        let now = Instant::now();
        let can_claim = !stopping && self.free() > 0;
        let mut until = now + STOP_CHECK_INTERVAL;
        if can_claim {
            self.wakeup.listen(self.claim_at.saturating_duration_since(now));
            until = until.min(self.claim_at);
        }
        if !self.pending.is_empty() {
            until = until.min(self.settle_at.max(now));
        }
        tokio::select! {
            Some(ack) = self.parts.acks.recv() => self.accept(ack),
            () = self.wakeup.wait() => self.on_wakeup(can_claim).await,
            () = self.parts.stop.cancelled(), if !stopping => {}
            () = self.parts.closing.cancelled(), if !self.parts.closing.is_cancelled() => {}
            () = sleep_until(until) => {}
        }
    }

    /// Claims at once if slots are free; otherwise passes the wake-up on to another worker.
    async fn on_wakeup(&mut self, can_claim: bool) {
        if can_claim {
            self.claim_at = Instant::now();
        } else if let Err(error) = self.parts.queue.wake_one().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "A wake-up could not be passed on");
        }
    }
}

fn count_claim(lease: &Lease) {
    metrics::counter!("rts_queue_claimed_total", "lane" => lease.lane.as_str()).increment(1);
    if lease.rescues > 0 {
        metrics::counter!("rts_queue_rescued_total", "lane" => lease.lane.as_str()).increment(1);
    }
}
