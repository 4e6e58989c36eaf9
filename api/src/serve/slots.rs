//! Who may hold a connection: so many in all, so many from one address, and a few in reserve for health checks.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use runtime::config::TrustedProxies;

use crate::address_limit::network;

/// Maximum connections, whatever the system allows.
const MAX_CONNECTIONS: usize = 10_000;
/// Open files kept for everything that is not a connection of a caller.
const OTHER_FILES: u64 = 200;
/// Connections beyond the maximum that may still ask for health.
const RESERVE: usize = 64;
/// Maximum connections of one address where no setting says otherwise.
const PER_ADDRESS: usize = 256;

/// Limits of a listener.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Maximum connections in all.
    pub total: usize,
    /// Maximum connections of one address (IPv6: of one /64).
    pub per_address: usize,
    /// Proxies, which the limit per address does not bind.
    pub trusted: TrustedProxies,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: MAX_CONNECTIONS, per_address: PER_ADDRESS, trusted: TrustedProxies::default() }
    }
}

impl ConnectionLimits {
    /// As many connections as `open_files` leaves room for, 10,000 at most.
    #[must_use]
    pub fn within(self, open_files: u64) -> Self {
        let room = open_files - OTHER_FILES.min(open_files / 2);
        Self { total: usize::try_from(room).unwrap_or(usize::MAX).clamp(1, MAX_CONNECTIONS), ..self }
    }
}

/// Why a connection is closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its address has as many as it may have.
    Address,
    /// The reserve for health checks is used up too.
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

/// The places of one listener.
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

/// One connection's place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    network: IpAddr,
    reserve: bool,
}

impl Slots {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self(Arc::new(Shared { limits, taken: Mutex::default() }))
    }

    /// A place for a connection from `peer`, at once or not at all.
    pub(super) fn take(&self, peer: IpAddr) -> Result<Place, Refusal> {
        let (limits, network) = (&self.0.limits, network(peer));
        let mut taken = self.0.lock();
        let of_network = taken.by_network.get(&network).copied().unwrap_or_default();
        if of_network >= limits.per_address && !limits.trusted.contains(peer) {
            return Err(Refusal::Address);
        }
        let reserve = taken.total >= limits.total;
        if reserve && taken.reserve >= RESERVE {
            return Err(Refusal::Total);
        }
        if reserve {
            taken.reserve += 1;
        } else {
            taken.total += 1;
        }
        taken.by_network.insert(network, of_network + 1);
        drop(taken);
        Ok(Place { shared: self.0.clone(), network, reserve })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether the place is one of those for health checks alone.
    pub(super) const fn is_reserve(&self) -> bool {
        self.reserve
    }
}

impl Drop for Place {
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
    fn address_beyond_its_limit_is_refused_until_a_place_is_free() {
        let slots = Slots::new(limits(100, 2));
        let places: Vec<_> = (0..2).map(|_| slots.take(ip("192.0.2.1")).unwrap()).collect();
        assert_eq!(slots.take(ip("192.0.2.1")).unwrap_err(), Refusal::Address);
        assert_eq!(slots.take(ip("::ffff:192.0.2.1")).unwrap_err(), Refusal::Address);
        slots.take(ip("192.0.2.2")).unwrap();
        drop(places);
        slots.take(ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn ipv6_addresses_of_one_network_share_their_places() {
        let slots = Slots::new(limits(100, 1));
        let _held = slots.take(ip("2001:db8:1:2::1")).unwrap();
        assert_eq!(slots.take(ip("2001:db8:1:2:ffff::9")).unwrap_err(), Refusal::Address);
        slots.take(ip("2001:db8:1:3::1")).unwrap();
    }

    #[test]
    fn trusted_proxies_are_bound_by_the_total_alone() {
        let slots = Slots::new(limits(3, 1));
        let held: Vec<_> = (0..3).map(|_| slots.take(ip("10.9.1.1")).unwrap()).collect();
        assert!(held.iter().all(|place| !place.is_reserve()));
        assert!(slots.take(ip("10.9.1.1")).unwrap().is_reserve());
    }

    #[test]
    fn full_listener_keeps_a_reserve_for_health_checks() {
        let slots = Slots::new(limits(1, 1_000));
        let _full = slots.take(ip("192.0.2.1")).unwrap();
        let reserve: Vec<_> = (0..RESERVE).map(|_| slots.take(ip("192.0.2.2")).unwrap()).collect();
        assert!(reserve.iter().all(Place::is_reserve));
        assert_eq!(slots.take(ip("192.0.2.3")).unwrap_err(), Refusal::Total);
        drop(reserve);
        assert!(slots.take(ip("192.0.2.3")).unwrap().is_reserve());
    }

    #[test]
    fn few_open_files_leave_fewer_connections() {
        let total = |open_files| ConnectionLimits::default().within(open_files).total;
        assert_eq!([total(256), total(1_024), total(1_000_000)], [128, 824, 10_000]);
    }
}
