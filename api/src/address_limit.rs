//! Limit per address on wrong requests. Correct requests cost nothing.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::time::Instant;

/// Maximum blocked addresses; a full table is cleared.
const MAX_BLOCKED: usize = 20_000;

/// Counter of wrong requests per address (IPv6: per /64).
#[derive(Debug)]
pub(crate) struct AddressLimit {
    wrong: DefaultKeyedRateLimiter<IpAddr>,
    burst: NonZeroU32,
    blocked: Mutex<HashMap<IpAddr, Instant>>,
}

impl AddressLimit {
    pub(crate) fn new(quota: Quota) -> Self {
        Self { wrong: RateLimiter::keyed(quota), burst: quota.burst_size(), blocked: Mutex::default() }
    }

    /// Returns the time for which the address is still blocked, `None` if it is not.
    pub(crate) fn blocked(&self, ip: Option<IpAddr>) -> Option<Duration> {
        let until = *self.lock().get(&network(ip?))?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Counts a wrong request `weight` times. An address over its quota is blocked until the quota allows one more.
    pub(crate) fn count(&self, ip: Option<IpAddr>, weight: u32) {
        let (Some(ip), Some(weight)) = (ip, NonZeroU32::new(weight)) else { return };
        let network = network(ip);
        let Ok(Err(refused)) = self.wrong.check_key_n(&network, weight.min(self.burst)) else { return };
        let wait = refused.wait_time_from(DefaultClock::default().now()).max(Duration::from_secs(1));
        let mut blocked = self.lock();
        if blocked.len() >= MAX_BLOCKED {
            blocked.clear();
        }
        blocked.insert(network, Instant::now() + wait);
    }

    /// Removes the addresses without recent wrong requests.
    pub(crate) fn forget_idle(&self) {
        self.wrong.retain_recent();
        self.wrong.shrink_to_fit();
        let now = Instant::now();
        self.lock().retain(|_, until| *until > now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the address itself, or for IPv6 the /64 network that one customer usually has.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// Returns the address as text, or for IPv6 the /64 network.
pub(crate) fn display_network(ip: IpAddr) -> String {
    match network(ip) {
        ip @ IpAddr::V4(_) => ip.to_string(),
        ip @ IpAddr::V6(_) => format!("{ip}/64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(burst: u32) -> AddressLimit {
        let burst = NonZeroU32::new(burst).unwrap();
        AddressLimit::new(Quota::per_hour(NonZeroU32::MIN).allow_burst(burst))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn address_beyond_its_quota_is_blocked_and_others_are_not() {
        let limit = limit(2);
        for _ in 0..2 {
            limit.count(Some(ip("2001:db8::1")), 1);
            assert_eq!(limit.blocked(Some(ip("2001:db8::1"))), None);
        }
        limit.count(Some(ip("2001:db8::2")), 1);
        assert!(limit.blocked(Some(ip("2001:db8::3"))).is_some(), "one network is one address");
        assert_eq!(limit.blocked(Some(ip("2001:db8:0:1::1"))), None);
        assert_eq!(limit.blocked(None), None);
    }

    #[test]
    fn weight_beyond_the_burst_counts_as_the_burst() {
        let limit = limit(5);
        limit.count(Some(ip("192.0.2.1")), 1_000);
        assert_eq!(limit.blocked(Some(ip("192.0.2.1"))), None);
        limit.count(Some(ip("192.0.2.1")), 1);
        assert!(limit.blocked(Some(ip("192.0.2.1"))).is_some());
    }

    #[test]
    fn network_of_ipv6_is_its_first_64_bits() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1").to_string(), "10.0.0.1");
    }
}
