//! The leases this process holds, seen by the dispatcher and the renewer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Claimed, PrepaidRequest};
use crate::{Lease, LeaseToken};

/// One slot in use. It stays in use until the handler answers, lease or no lease.
struct Slot {
    lease: Lease,
    cancelled: CancellationToken,
    /// When the last successful claim or renewal was sent.
    sure_since: Instant,
    lost: bool,
}

/// Jobs are told apart by job and token: one job may come back while an older run of it is still ending.
type Name = (domain::JobId, LeaseToken);

#[derive(Default)]
pub(super) struct LeaseTable {
    slots: Mutex<HashMap<Name, Slot>>,
    /// Held while leases are settled or extended: a renewal sent after the job was settled would revive it.
    pub(super) gate: tokio::sync::Mutex<()>,
}

fn name(lease: &Lease) -> Name {
    (lease.job, lease.token.clone())
}

impl LeaseTable {
    pub(super) fn add(&self, lease: Lease, sure_since: Instant) -> Claimed {
        let cancelled = CancellationToken::new();
        let claimed = Claimed {
            lease: lease.clone(),
            since: sure_since,
            prepaid: PrepaidRequest::default(),
            cancelled: cancelled.clone(),
        };
        self.lock().insert(name(&lease), Slot { lease, cancelled, sure_since, lost: false });
        claimed
    }

    pub(super) fn remove(&self, lease: &Lease) {
        self.lock().remove(&name(lease));
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn is_lost(&self, lease: &Lease) -> bool {
        self.lock().get(&name(lease)).is_none_or(|slot| slot.lost)
    }

    /// Every lease still thought ours.
    pub(super) fn owned(&self) -> Vec<Lease> {
        self.lock().values().filter(|slot| !slot.lost).map(|slot| slot.lease.clone()).collect()
    }

    pub(super) fn renewed(&self, leases: &[Lease], since: Instant) {
        let mut slots = self.lock();
        for lease in leases {
            if let Some(slot) = slots.get_mut(&name(lease)) {
                slot.sure_since = since;
            }
        }
    }

    /// The lease is another's now: the handler must stop.
    pub(super) fn mark_lost(&self, lease: &Lease) {
        if let Some(slot) = self.lock().get_mut(&name(lease)) {
            slot.lose();
        }
    }

    /// Cancels every handler whose lease was not renewed for so long; answers when the next one would be due.
    pub(super) fn cut_off(&self, after: Duration) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        for slot in self.lock().values_mut().filter(|slot| !slot.lost) {
            let end = slot.sure_since + after;
            if end <= now {
                slot.lose();
            } else {
                next = Some(next.map_or(end, |sooner| sooner.min(end)));
            }
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn lose(&mut self) {
        self.lost = true;
        self.cancelled.cancel();
        metrics::counter!("rts_queue_leases_lost_total").increment(1);
        tracing::warn!(job = %self.lease.job, "lease lost, handler cancelled");
    }
}
