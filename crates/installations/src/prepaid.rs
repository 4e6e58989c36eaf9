//! The claimed job a request is made for, and the request its claim has paid for.

use std::cell::Cell;

use domain::{JobId, Lane};
use queue::PrepaidRequest;
use tokio::time::Instant;

use crate::endpoints;

/// A job a worker holds.
#[derive(Clone, Copy, Debug)]
pub struct ClaimedJob {
    /// The job.
    pub job: JobId,
    /// The lane it came from.
    pub lane: Lane,
    /// When its claim was asked for: what is older than its requests may not know what GitHub said since.
    pub since: Instant,
}

struct Running {
    job: ClaimedJob,
    prepaid: PrepaidRequest,
    unused: Cell<Option<&'static str>>,
}

tokio::task_local! {
    static RUNNING: Running;
}

/// Runs a claimed job: the first request to the endpoint of its lane was paid for by the claim.
pub async fn with_prepaid_call<T>(held: ClaimedJob, job: impl Future<Output = T>) -> T {
    with_prepaid_call_of(PrepaidRequest::default(), held, job).await
}

/// As [`with_prepaid_call`]; `prepaid` learns whether that request was made.
pub async fn with_prepaid_call_of<T>(
    prepaid: PrepaidRequest,
    held: ClaimedJob,
    job: impl Future<Output = T>,
) -> T {
    prepaid.mark_unused();
    let paid = Cell::new(Some(endpoints::prepaid(held.lane)));
    RUNNING.scope(Running { job: held, prepaid, unused: paid }, job).await
}

/// The job this is done for; none outside a job.
pub(crate) fn current_job() -> Option<ClaimedJob> {
    RUNNING.try_with(|running| running.job).ok()
}

/// Uses up what was paid for, if it is this.
pub(crate) fn use_prepaid(endpoint: &str) -> bool {
    let spend = |running: &Running| {
        let fits = running.unused.get() == Some(endpoint);
        if fits {
            running.unused.set(None);
        }
        fits
    };
    RUNNING.try_with(spend).unwrap_or(false)
}

/// What was spent was not sent after all: the next such request is paid for still.
pub(crate) fn restore() {
    // Outside a job nothing is paid for.
    let _ = RUNNING.try_with(|running| running.unused.set(Some(endpoints::prepaid(running.job.lane))));
}

/// What was spent is sent now.
pub(crate) fn mark_sent() {
    // Outside a job nothing is paid for.
    let _ = RUNNING.try_with(|running| running.prepaid.mark_used());
}

/// Whether a write was paid for that has not been made.
pub(crate) fn has_unused_write() -> bool {
    let owes = |running: &Running| {
        running.unused.get().is_some_and(|endpoint| endpoint != endpoints::prepaid(Lane::Drift))
    };
    RUNNING.try_with(owes).unwrap_or(false)
}

/// Another write was made instead of the one that was paid for.
pub(crate) fn forfeit() {
    // Outside a job nothing is paid for.
    let _ = RUNNING.try_with(|running| running.unused.set(None));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(lane: Lane) -> ClaimedJob {
        ClaimedJob { job: JobId::new(), lane, since: Instant::now() }
    }

    #[tokio::test]
    async fn only_the_first_request_of_its_kind_is_paid_for() {
        assert!(!use_prepaid("runner"), "outside a job nothing is");
        with_prepaid_call(held(Lane::Drift), async {
            assert!(!use_prepaid("delete-runner"));
            assert!(use_prepaid("runner"));
            assert!(!use_prepaid("runner"));
            restore();
            assert!(use_prepaid("runner"), "it was not sent");
            assert!(!use_prepaid("runner"));
        })
        .await;
    }

    #[tokio::test]
    async fn a_write_that_was_paid_for_may_be_another() {
        assert!(!has_unused_write(), "outside a job nothing is");
        with_prepaid_call(held(Lane::Drift), async { assert!(!has_unused_write(), "a look is no write") })
            .await;
        with_prepaid_call(held(Lane::Provision), async {
            assert!(has_unused_write());
            forfeit();
            assert!(!has_unused_write() && !use_prepaid("generate-jitconfig"));
        })
        .await;
    }
}
