//! Table of the leases this process holds, shared by the dispatcher and the renewer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Claimed, PrepaidRequest};
use crate::{Lease, LeaseToken};

/// One used slot. It stays in use until the handler finishes, even if the lease is lost.
struct Slot {
    lease: Lease,
    cancelled: CancellationToken,
    /// Time at which the last successful claim or renewal was sent.
    confirmed_at: Instant,
    lost: bool,
}

/// Key of a slot. The token is part of it, because a job may be claimed again while an older run of it still ends.
type SlotKey = (domain::JobId, LeaseToken);

#[derive(Default)]
pub(super) struct LeaseTable {
    slots: Mutex<HashMap<SlotKey, Slot>>,
    /// Held while leases are settled or extended, because a renewal after a settlement would restore the lease.
    pub(super) settle_lock: tokio::sync::Mutex<()>,
}

fn slot_key(lease: &Lease) -> SlotKey {
    (lease.job, lease.token.clone())
}

impl LeaseTable {
    pub(super) fn add(&self, lease: Lease, confirmed_at: Instant) -> Claimed {
        let cancelled = CancellationToken::new();
        let claimed = Claimed {
            lease: lease.clone(),
            since: confirmed_at,
            prepaid: PrepaidRequest::default(),
            cancelled: cancelled.clone(),
        };
        self.lock().insert(slot_key(&lease), Slot { lease, cancelled, confirmed_at, lost: false });
        claimed
    }

    pub(super) fn remove(&self, lease: &Lease) {
        self.lock().remove(&slot_key(lease));
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn is_lost(&self, lease: &Lease) -> bool {
        self.lock().get(&slot_key(lease)).is_none_or(|slot| slot.lost)
    }

    /// Returns every lease not marked as lost.
    pub(super) fn owned(&self) -> Vec<Lease> {
        self.lock().values().filter(|slot| !slot.lost).map(|slot| slot.lease.clone()).collect()
    }

    pub(super) fn renewed(&self, leases: &[Lease], since: Instant) {
        let mut slots = self.lock();
        for lease in leases {
            if let Some(slot) = slots.get_mut(&slot_key(lease)) {
                slot.confirmed_at = since;
            }
        }
    }

    /// Marks a lease as lost to another worker and cancels its handler.
    pub(super) fn mark_lost(&self, lease: &Lease) {
        if let Some(slot) = self.lock().get_mut(&slot_key(lease)) {
            slot.mark_lost();
        }
    }

    /// Cancels every handler whose lease was not renewed for `after`; returns the time at which the next one is due.
    pub(super) fn cancel_unrenewed(&self, after: Duration) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        for slot in self.lock().values_mut().filter(|slot| !slot.lost) {
            let end = slot.confirmed_at + after;
            if end <= now {
                slot.mark_lost();
            } else {
                next = Some(next.map_or(end, |sooner| sooner.min(end)));
            }
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SlotKey, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn mark_lost(&mut self) {
        self.lost = true;
        self.cancelled.cancel();
        metrics::counter!("rts_queue_leases_lost_total").increment(1);
        tracing::warn!(job = %self.lease.job, "Lease lost; handler cancelled");
    }
}
