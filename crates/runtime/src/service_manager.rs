//! Notices to systemd by the protocol of `sd_notify`: the process is ready, its loops run, and it stops. systemd starts a
//! process anew whose notices stay away (`WatchdogSec=`).

use std::{
    env, fmt, io,
    os::unix::net::{SocketAddr, UnixDatagram},
    process,
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::health::LoopMonitor;

/// Notices that systemd expects of this process.
pub struct ServiceManager {
    socket: Option<Socket>,
    /// Time between two notices that the loops run.
    period: Option<Duration>,
}

struct Socket {
    own: UnixDatagram,
    peer: SocketAddr,
}

impl fmt::Debug for ServiceManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceManager").field("period", &self.period).finish_non_exhaustive()
    }
}

impl ServiceManager {
    /// Reads what systemd expects: nothing if it did not start this process.
    #[expect(clippy::disallowed_methods, reason = "variables of systemd, which are no settings")]
    pub fn from_environment() -> Self {
        let address = env::var("NOTIFY_SOCKET").ok();
        let socket = address.and_then(|address| match Socket::open(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(address, %error, "systemd cannot be notified");
                None
            }
        });
        let pid = env::var("WATCHDOG_PID").ok();
        let ours = pid.is_none_or(|pid| pid == process::id().to_string());
        let limit = env::var("WATCHDOG_USEC").ok().filter(|_| ours).and_then(|limit| limit.parse().ok());
        Self { socket, period: limit.map(period) }
    }

    /// Notifies systemd that the process is ready, then regularly that its loops run, and of the beginning of the end.
    pub async fn supervise(self, loops: LoopMonitor, draining: CancellationToken) {
        let Some(socket) = self.socket else { return draining.cancelled().await };
        socket.send("READY=1");
        watch(&loops, self.period, &draining, |notice| socket.send(notice)).await;
        socket.send("STOPPING=1");
    }
}

/// Returns the time between two notices for a limit in microseconds: a third of it.
fn period(limit: u64) -> Duration {
    Duration::from_micros(limit / 3).max(Duration::from_millis(1))
}

/// Sends a notice in each period in which no loop has stalled, until `draining`.
async fn watch(
    loops: &LoopMonitor,
    period: Option<Duration>,
    draining: &CancellationToken,
    mut send: impl FnMut(&'static str),
) {
    let Some(period) = period else { return draining.cancelled().await };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alive = true;
    while draining.run_until_cancelled(ticks.tick()).await.is_some() {
        let stalled = loops.stalled();
        if stalled.is_empty() {
            send("WATCHDOG=1");
        } else if alive {
            tracing::error!(
                ?stalled,
                "a loop has stalled; systemd starts the process anew if it does not go on"
            );
        }
        alive = stalled.is_empty();
    }
}

impl Socket {
    fn open(address: &str) -> io::Result<Self> {
        let own = UnixDatagram::unbound()?;
        own.set_nonblocking(true)?;
        Ok(Self { own, peer: peer(address)? })
    }

    fn send(&self, notice: &'static str) {
        if let Err(error) = self.own.send_to_addr(notice.as_bytes(), &self.peer) {
            tracing::debug!(notice, %error, "systemd was not notified");
        }
    }
}

/// Returns the address of a socket: a path, or a name in the abstract namespace after `@`.
fn peer(address: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.strip_prefix('@') {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    SocketAddr::from_pathname(address)
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stalled_loop_ends_the_notices() {
        let (loops, draining) = (LoopMonitor::new(), CancellationToken::new());
        let _stalls = loops.register("stalls", Duration::from_secs(30));
        let (start, mut sent) = (Instant::now(), Vec::new());
        let watching = watch(&loops, Some(period(30_000_000)), &draining, |notice| {
            sent.push((notice, start.elapsed().as_secs()));
        });
        assert!(timeout(Duration::from_mins(5), watching).await.is_err());
        assert_eq!(sent, [0, 10, 20, 30].map(|at| ("WATCHDOG=1", at)));
    }

    #[test]
    fn address_is_a_path_or_an_abstract_name() {
        assert!(peer("/run/systemd/notify").unwrap().as_pathname().is_some());
        assert!(peer("@notify").unwrap().as_pathname().is_none());
    }
}
