//! Connection slots: a limit in total, a limit per address, and a reserve for health checks.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use runtime::config::TrustedProxies;

use crate::address_limit::network;

/// Maximum number of connections, even if the system allows more.
const MAX_CONNECTIONS: usize = 10_000;
/// Open files kept free for everything that is not a connection.
const RESERVED_FILES: u64 = 200;
/// Connections beyond the maximum, for health checks alone.
const HEALTH_RESERVE: usize = 64;
/// Default maximum number of connections per address.
const MAX_PER_ADDRESS: usize = 256;

/// Connection limits of a listener.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Maximum connections in total.
    pub total: usize,
    /// Maximum connections per address (IPv6: per /64).
    pub per_address: usize,
    /// Proxies, which are exempt from the limit per address.
    pub trusted: TrustedProxies,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: MAX_CONNECTIONS, per_address: MAX_PER_ADDRESS, trusted: TrustedProxies::default() }
    }
}

impl ConnectionLimits {
    /// Reduces the total to what `open_files` allows, 10,000 at most.
    #[must_use]
    pub fn within(self, open_files: u64) -> Self {
        let available = open_files - RESERVED_FILES.min(open_files / 2);
        Self { total: usize::try_from(available).unwrap_or(usize::MAX).clamp(1, MAX_CONNECTIONS), ..self }
    }
}

/// Reason why a connection is closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The address has reached its limit.
    Address,
    /// The total and the reserve for health checks are used up.
    Total,
}

impl Refusal {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Total => "total",
        }
    }
}

/// Slots of one listener.
#[derive(Clone, Debug)]
pub(super) struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: ConnectionLimits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    reserve: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// Slot of one connection, freed on drop.
#[derive(Debug)]
pub(super) struct Slot {
    shared: Arc<Shared>,
    network: IpAddr,
    reserve: bool,
}

impl Slots {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self(Arc::new(Shared { limits, taken: Mutex::default() }))
    }

    /// Returns a slot for a connection from `peer`, without waiting.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(super) fn acquire(&self, peer: IpAddr) -> Result<Slot, Refusal> {
        let (limits, network) = (&self.0.limits, network(peer));
        let mut taken = self.0.lock();
        let of_network = taken.by_network.get(&network).copied().unwrap_or_default();
        if of_network >= limits.per_address && !limits.trusted.contains(peer) {
            return Err(Refusal::Address);
        }
        let reserve = taken.total >= limits.total;
        if reserve && taken.reserve >= HEALTH_RESERVE {
            return Err(Refusal::Total);
        }
        if reserve {
            taken.reserve += 1;
        } else {
            taken.total += 1;
        }
        taken.by_network.insert(network, of_network + 1);
        drop(taken);
        Ok(Slot { shared: self.0.clone(), network, reserve })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Returns whether the slot is in the reserve for health checks.
    pub(super) const fn is_reserve(&self) -> bool {
        self.reserve
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.shared.lock();
        if self.reserve {
            taken.reserve -= 1;
        } else {
            taken.total -= 1;
        }
        if let Some(count) = taken.by_network.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: usize, per_address: usize) -> ConnectionLimits {
        let trusted = TrustedProxies::parse("10.9.0.0/16").unwrap();
        ConnectionLimits { total, per_address, trusted }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn address_beyond_its_limit_is_refused_until_a_slot_is_free() {
        let slots = Slots::new(limits(100, 2));
        let taken_slots: Vec<_> = (0..2).map(|_| slots.acquire(ip("192.0.2.1")).unwrap()).collect();
        assert_eq!(slots.acquire(ip("192.0.2.1")).unwrap_err(), Refusal::Address);
        assert_eq!(slots.acquire(ip("::ffff:192.0.2.1")).unwrap_err(), Refusal::Address);
        slots.acquire(ip("192.0.2.2")).unwrap();
        drop(taken_slots);
        slots.acquire(ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn ipv6_addresses_of_one_network_share_their_slots() {
        let slots = Slots::new(limits(100, 1));
        let _held = slots.acquire(ip("2001:db8:1:2::1")).unwrap();
        assert_eq!(slots.acquire(ip("2001:db8:1:2:ffff::9")).unwrap_err(), Refusal::Address);
        slots.acquire(ip("2001:db8:1:3::1")).unwrap();
    }

    #[test]
    fn trusted_proxies_are_bound_by_the_total_alone() {
        let slots = Slots::new(limits(3, 1));
        let held: Vec<_> = (0..3).map(|_| slots.acquire(ip("10.9.1.1")).unwrap()).collect();
        assert!(held.iter().all(|slot| !slot.is_reserve()));
        assert!(slots.acquire(ip("10.9.1.1")).unwrap().is_reserve());
    }

    #[test]
    fn full_listener_keeps_a_reserve_for_health_checks() {
        let slots = Slots::new(limits(1, 1_000));
        let _full = slots.acquire(ip("192.0.2.1")).unwrap();
        let reserve: Vec<_> = (0..HEALTH_RESERVE).map(|_| slots.acquire(ip("192.0.2.2")).unwrap()).collect();
        assert!(reserve.iter().all(Slot::is_reserve));
        assert_eq!(slots.acquire(ip("192.0.2.3")).unwrap_err(), Refusal::Total);
        drop(reserve);
        assert!(slots.acquire(ip("192.0.2.3")).unwrap().is_reserve());
    }

    #[test]
    fn few_open_files_leave_fewer_connections() {
        let total = |open_files| ConnectionLimits::default().within(open_files).total;
        assert_eq!([total(256), total(1_024), total(1_000_000)], [128, 824, 10_000]);
    }
}
