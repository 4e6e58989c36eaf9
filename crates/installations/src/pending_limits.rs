//! Rate limits that are not yet published to Redis.
//!
//! A response with a rate limit stops this process at once. Other processes stop when the pause is in Redis, which may be
//! unavailable at that moment; until then this process keeps the limit.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::InstallationId;
use github::LimitKind;
use queue::{Queue, QueueError, Reason};
use tokio::time::{Instant, sleep};

/// Time before the next attempt to publish a pause. Jobs that hit a limit wait longer than that.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Rate limits that stop this process until their pause is published; from then on the pause stops all processes.
#[derive(Default)]
pub(crate) struct PendingLimits(Mutex<Vec<Limit>>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Limit {
    kind: LimitKind,
    until: Instant,
}

impl PendingLimits {
    /// Records a rate limit of a response.
    pub(crate) fn record(&self, kind: LimitKind, wait: Duration) {
        let until = Instant::now() + wait;
        let mut limits = self.lock();
        match limits.iter_mut().find(|limit| limit.kind == kind) {
            Some(limit) => limit.until = limit.until.max(until),
            None => limits.push(Limit { kind, until }),
        }
    }

    /// Returns `Ok` if no unpublished limit applies.
    ///
    /// # Errors
    /// The rest of the longest unpublished limit.
    pub(crate) fn check(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let longest = self.lock().iter().map(|limit| limit.until).max();
        longest.filter(|until| *until > now).map_or(Ok(()), |until| Err(until - now))
    }

    /// Publishes all limits as pauses, so that all workers wait. Retries until Redis has each limit or the limit is
    /// over.
    pub(crate) async fn publish(&self, queue: &Queue, installation: &InstallationId) {
        let mut failed = false;
        while let Some(limit) = self.first_current() {
            let wait = limit.until - Instant::now();
            match pause(queue, installation, limit.kind, wait).await {
                Ok(()) => {
                    let (wait_s, kind) = (wait.as_secs(), limit.kind);
                    tracing::warn!(%installation, wait_s, ?kind, "GitHub asked us to wait");
                    // A limit recorded meanwhile is another one and stays.
                    self.lock().retain(|other| *other != limit);
                }
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!(%installation, %error, "A pause could not be published; trying again");
                    }
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    fn first_current(&self) -> Option<Limit> {
        let mut limits = self.lock();
        limits.retain(|limit| limit.until > Instant::now());
        limits.first().copied()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Limit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pause(
    queue: &Queue,
    installation: &InstallationId,
    kind: LimitKind,
    wait: Duration,
) -> Result<(), QueueError> {
    match kind {
        LimitKind::Primary => queue.pause(installation, wait, Reason::Budget).await.map(drop),
        LimitKind::Secondary => queue.slow_down(installation, wait).await.map(drop),
        LimitKind::Outage => queue.pause(installation, wait, Reason::GithubOutage).await.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_limit_holds_until_it_is_over() {
        let limits = PendingLimits::default();
        limits.record(LimitKind::Primary, Duration::ZERO);
        assert_eq!(limits.check(), Ok(()));
        assert!(limits.first_current().is_none(), "over before it could be shared");
        limits.record(LimitKind::Secondary, Duration::from_mins(1));
        limits.record(LimitKind::Primary, Duration::from_secs(10));
        limits.record(LimitKind::Secondary, Duration::from_secs(5));
        let left = limits.check().unwrap_err();
        assert!(left > Duration::from_secs(50), "never shortened: {left:?}");
    }
}
