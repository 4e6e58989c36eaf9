//! Limits GitHub has named and everybody else does not know of yet.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::InstallationId;
use github::LimitKind;
use queue::{Queue, QueueError, Reason};
use tokio::time::{Instant, sleep};

/// How soon a pause is shared again that Redis did not take. Jobs that were limited wait longer than that.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Holds this process up from the moment an answer came until the pause is shared; from then on the pause does.
#[derive(Default)]
pub(crate) struct PendingLimits(Mutex<Vec<Limit>>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Limit {
    kind: LimitKind,
    until: Instant,
}

impl PendingLimits {
    /// An answer was limited.
    pub(crate) fn record(&self, kind: LimitKind, wait: Duration) {
        let until = Instant::now() + wait;
        let mut limits = self.lock();
        match limits.iter_mut().find(|limit| limit.kind == kind) {
            Some(limit) => limit.until = limit.until.max(until),
            None => limits.push(Limit { kind, until }),
        }
    }

    /// Goes on unless one holds that is not shared yet.
    pub(crate) fn check(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let longest = self.lock().iter().map(|limit| limit.until).max();
        longest.filter(|until| *until > now).map_or(Ok(()), |until| Err(until - now))
    }

    /// Makes every worker of every process wait. Tries until Redis has taken every limit or it is over.
    pub(crate) async fn publish(&self, queue: &Queue, installation: &InstallationId) {
        let mut failed = false;
        while let Some(limit) = self.next() {
            let wait = limit.until - Instant::now();
            match pause(queue, installation, limit.kind, wait).await {
                Ok(()) => {
                    let (wait_s, kind) = (wait.as_secs(), limit.kind);
                    tracing::warn!(%installation, wait_s, ?kind, "GitHub told us to wait");
                    // One that was noted meanwhile is another and stays.
                    self.lock().retain(|other| *other != limit);
                }
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!(%installation, %error, "a pause could not be shared yet; trying again");
                    }
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    fn next(&self) -> Option<Limit> {
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
    fn the_longest_limit_holds_until_it_is_over() {
        let told = PendingLimits::default();
        told.record(LimitKind::Primary, Duration::ZERO);
        assert_eq!(told.check(), Ok(()));
        assert!(told.next().is_none(), "over before it could be shared");
        told.record(LimitKind::Secondary, Duration::from_mins(1));
        told.record(LimitKind::Primary, Duration::from_secs(10));
        told.record(LimitKind::Secondary, Duration::from_secs(5));
        let left = told.check().unwrap_err();
        assert!(left > Duration::from_secs(50), "never shortened: {left:?}");
    }
}
