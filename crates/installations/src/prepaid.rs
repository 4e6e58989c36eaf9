//! The claimed job of a request, and the request that its claim paid for.

use std::cell::Cell;

use domain::{JobId, Lane};
use queue::PrepaidRequest;
use tokio::time::Instant;

use crate::endpoints;

/// A job that a worker holds.
#[derive(Clone, Copy, Debug)]
pub struct ClaimedJob {
    /// The job.
    pub job: JobId,
    /// Its lane.
    pub lane: Lane,
    /// Time at which its claim was sent. The budget state that the claim saw may be older than later responses.
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

/// Runs a claimed job. Its first request to the endpoint of its lane is paid for by the claim.
pub async fn with_prepaid_call<T>(held: ClaimedJob, job: impl Future<Output = T>) -> T {
    with_prepaid_call_of(PrepaidRequest::default(), held, job).await
}

/// Runs a claimed job as [`with_prepaid_call`] does, and records in `prepaid` whether that request was sent.
pub async fn with_prepaid_call_of<T>(
    prepaid: PrepaidRequest,
    held: ClaimedJob,
    job: impl Future<Output = T>,
) -> T {
    prepaid.mark_unused();
    let paid = Cell::new(Some(endpoints::prepaid(held.lane)));
    RUNNING.scope(Running { job: held, prepaid, unused: paid }, job).await
}

/// Returns the job of the current task; `None` outside a job.
pub(crate) fn current_job() -> Option<ClaimedJob> {
    RUNNING.try_with(|running| running.job).ok()
}

/// Uses the payment if it is for this endpoint; returns whether it was.
pub(crate) fn use_prepaid(endpoint: &str) -> bool {
    let use_up = |running: &Running| {
        let fits = running.unused.get() == Some(endpoint);
        if fits {
            running.unused.set(None);
        }
        fits
    };
    RUNNING.try_with(use_up).unwrap_or(false)
}

/// Restores a payment whose request was not sent, so that the next such request is paid for.
pub(crate) fn restore() {
    // Outside a job there is no payment.
    let _ = RUNNING.try_with(|running| running.unused.set(Some(endpoints::prepaid(running.job.lane))));
}

/// Marks the prepaid request as sent.
pub(crate) fn mark_sent() {
    // Outside a job there is no payment.
    let _ = RUNNING.try_with(|running| running.prepaid.mark_used());
}

/// Whether a write was paid for and not yet sent.
pub(crate) fn has_unused_write() -> bool {
    let is_write = |running: &Running| {
        running.unused.get().is_some_and(|endpoint| endpoint != endpoints::prepaid(Lane::Drift))
    };
    RUNNING.try_with(is_write).unwrap_or(false)
}

/// Uses the payment up for another write.
pub(crate) fn forfeit() {
    // Outside a job there is no payment.
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
