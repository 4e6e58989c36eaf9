//! Free ports on loopback.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    net::TcpListener,
    sync::atomic::{AtomicU64, Ordering},
};

/// Returns a free port below the ephemeral range whose cluster bus port, 10,000 above, is free too.
pub fn free_port() -> Option<u16> {
    const FIRST: u64 = 12_000;
    const COUNT: u64 = 10_000;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Each program begins at a random port, because several may start at the same time.
    let first = RandomState::new().build_hasher().finish() % COUNT;
    (0..1_000).find_map(|_| {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7_919) % COUNT;
        let port = u16::try_from(FIRST + (first + step) % COUNT).ok()?;
        (free(port) && free(port + 10_000)).then_some(port)
    })
}
