//! The one task that speaks to Redis for a worker: claims, delivers, settles.

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

/// apalis has no event for "stop": its flag is read this often.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// First and longest pause after a Redis fault.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How long answers may still be flushed once the worker is closed.
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

    /// When each loop of the worker last went round: the dispatcher, the task that renews leases, and the one that
    /// listens for new work. None is ever silent for half a minute, whatever Redis does.
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

    /// Jobs held now, unstarted and unsettled ones included.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    fn record_turn(&self, in_flight: usize) {
        self.0.dispatcher.tick();
        self.0.in_flight.store(in_flight, Ordering::Relaxed);
    }
}

/// What a dispatcher is made of.
pub(super) struct DispatcherParts {
    pub(super) queue: Queue,
    pub(super) claimer: Claimer,
    pub(super) concurrency: usize,
    pub(super) stop: CancellationToken,
    pub(super) closing: CancellationToken,
    pub(super) inbox: Arc<Inbox>,
    pub(super) answers: mpsc::UnboundedReceiver<Ack>,
    pub(super) dispatcher: Dispatcher,
}

/// Dispatches until the backend is closed and every answer is flushed.
pub(super) async fn run(parts: DispatcherParts, worker: WorkerContext) {
    let held = Arc::new(LeaseTable::default());
    let (bell, listener) = WakeupListener::new(parts.queue.clone(), parts.dispatcher.clone());
    let (lease, dispatcher) = (parts.claimer.lease, parts.dispatcher.clone());
    let renewer = renewer::renew(parts.queue.clone(), held.clone(), lease, dispatcher);
    let background = CancellationToken::new();
    let _ends_them = background.clone().drop_guard();
    tokio::spawn(background.clone().run_until_cancelled_owned(listener));
    tokio::spawn(background.run_until_cancelled_owned(renewer));
    let now = Instant::now();
    let dispatching = Dispatching {
        parts,
        worker,
        leases: held,
        wakeup: bell,
        pending: Vec::new(),
        claim_at: now,
        settle_at: now,
        back_off: BACK_OFF.0,
        give_up: None,
    };
    dispatching.run().await;
}

struct Dispatching {
    parts: DispatcherParts,
    worker: WorkerContext,
    leases: Arc<LeaseTable>,
    wakeup: WakeupListener,
    /// Answers Redis has not confirmed.
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
        // A token this worker popped and did not use belongs to the others.
        if let Err(error) = self.parts.queue.wake_one().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the bell was not handed on");
        }
    }

    fn stopping(&self) -> bool {
        self.parts.stop.is_cancelled() || self.parts.closing.is_cancelled() || self.worker.is_shutting_down()
    }

    fn free(&self) -> usize {
        self.parts.concurrency.saturating_sub(self.leases.len())
    }

    /// Takes in what the handlers answered and, when stopping, what they will never see.
    fn collect(&mut self, stopping: bool) {
        if stopping {
            for job in self.parts.inbox.take_back() {
                self.pending.push(Ack { lease: job.lease, end: Settle::Release, unsent: true });
            }
        }
        while let Ok(ack) = self.parts.answers.try_recv() {
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
        let gate = self.leases.gate.lock().await;
        match self.parts.queue.settle_all(&self.pending).await {
            Ok(ours) => {
                for (Ack { lease, end, .. }, ours) in self.pending.drain(..).zip(ours) {
                    self.leases.remove(&lease);
                    let outcome = if ours { end.word() } else { "lost" };
                    metrics::counter!("rts_queue_settled_total", "outcome" => outcome).increment(1);
                }
                drop(gate);
                self.back_off = BACK_OFF.0;
            }
            Err(error) => {
                drop(gate);
                self.settle_at = self.later(&error);
            }
        }
    }

    async fn claim(&mut self) {
        let want = self.free().min(100);
        let began = Instant::now();
        match self.parts.queue.claim(&self.parts.claimer, want).await {
            Ok(claim) => {
                self.back_off = BACK_OFF.0;
                self.claim_at = Instant::now() + claim.wait;
                for lease in claim.jobs {
                    count(&lease);
                    let job = self.leases.add(lease, began);
                    self.parts.inbox.put(job);
                }
                metrics::gauge!("rts_queue_in_flight")
                    .set(u32::try_from(self.leases.len()).unwrap_or(u32::MAX));
            }
            Err(error) => self.claim_at = self.later(&error),
        }
    }

    /// Redis failed: when to try again. Never anybody else's business.
    fn later(&mut self, error: &QueueError) -> Instant {
        tracing::warn!(error = error as &dyn std::error::Error, "redis fault, trying again");
        let at = Instant::now() + self.back_off;
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
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
        let hungry = !stopping && self.free() > 0;
        let mut until = now + STOP_CHECK_INTERVAL;
        if hungry {
            self.wakeup.listen(self.claim_at.saturating_duration_since(now));
            until = until.min(self.claim_at);
        }
        if !self.pending.is_empty() {
            until = until.min(self.settle_at.max(now));
        }
        tokio::select! {
            Some(ack) = self.parts.answers.recv() => self.accept(ack),
            () = self.wakeup.wait() => self.on_wakeup(hungry).await,
            () = self.parts.stop.cancelled(), if !stopping => {}
            () = self.parts.closing.cancelled(), if !self.parts.closing.is_cancelled() => {}
            () = sleep_until(until) => {}
        }
    }

    /// A bell heard while busy is rung again for somebody with free hands.
    async fn on_wakeup(&mut self, hungry: bool) {
        if hungry {
            self.claim_at = Instant::now();
        } else if let Err(error) = self.parts.queue.wake_one().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the bell was not handed on");
        }
    }
}

fn count(lease: &Lease) {
    metrics::counter!("rts_queue_claimed_total", "lane" => lease.lane.as_str()).increment(1);
    if lease.rescues > 0 {
        metrics::counter!("rts_queue_rescued_total", "lane" => lease.lane.as_str()).increment(1);
    }
}
