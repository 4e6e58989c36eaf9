//! The claimed job a request is made for, and the request its claim has paid for.

use std::cell::Cell;

use domain::{JobId, Lane};
use queue::PrepaidRequest;
use tokio::time::Instant;

use crate::endpoints;

/// A job a worker holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The job.
    pub job: JobId,
    /// The lane it came from.
    pub lane: Lane,
    /// When its claim was asked for: what is older than its requests may not know what GitHub said since.
    pub since: Instant,
}

struct Running {
    held: Held,
    prepaid: PrepaidRequest,
    paid: Cell<Option<&'static str>>,
}

tokio::task_local! {
    static RUNNING: Running;
}

/// Runs a claimed job: the first request to the endpoint of its lane was paid for by the claim.
pub async fn paid<T>(held: Held, job: impl Future<Output = T>) -> T {
    paid_by(PrepaidRequest::default(), held, job).await
}

/// As [`paid`]; `prepaid` learns whether that request was made.
pub async fn paid_by<T>(prepaid: PrepaidRequest, held: Held, job: impl Future<Output = T>) -> T {
    prepaid.mark_unused();
    let paid = Cell::new(Some(endpoints::prepaid(held.lane)));
    RUNNING.scope(Running { held, prepaid, paid }, job).await
}

/// The job this is done for; none outside a job.
pub(crate) fn held() -> Option<Held> {
    RUNNING.try_with(|running| running.held).ok()
}

/// Uses up what was paid for, if it is this.
pub(crate) fn spend(endpoint: &str) -> bool {
    let spend = |running: &Running| {
        let fits = running.paid.get() == Some(endpoint);
        if fits {
            running.paid.set(None);
        }
        fits
    };
    RUNNING.try_with(spend).unwrap_or(false)
}

/// What was spent was not sent after all: the next such request is paid for still.
pub(crate) fn restore() {
    // Outside a job nothing is paid for.
    let _ = RUNNING.try_with(|running| running.paid.set(Some(endpoints::prepaid(running.held.lane))));
}

/// What was spent is sent now.
pub(crate) fn send() {
    // Outside a job nothing is paid for.
    let _ = RUNNING.try_with(|running| running.prepaid.mark_used());
}

/// Whether a write was paid for that has not been made.
pub(crate) fn owes_a_write() -> bool {
    let owes = |running: &Running| {
        running.paid.get().is_some_and(|endpoint| endpoint != endpoints::prepaid(Lane::Drift))
    };
    RUNNING.try_with(owes).unwrap_or(false)
}

/// Another write was made instead of the one that was paid for.
pub(crate) fn swap() {
    // Outside a job nothing is paid for.
    let _ = RUNNING.try_with(|running| running.paid.set(None));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(lane: Lane) -> Held {
        Held { job: JobId::new(), lane, since: Instant::now() }
    }

    #[tokio::test]
    async fn only_the_first_request_of_its_kind_is_paid_for() {
        assert!(!spend("runner"), "outside a job nothing is");
        paid(held(Lane::Drift), async {
            assert!(!spend("delete-runner"));
            assert!(spend("runner"));
            assert!(!spend("runner"));
            restore();
            assert!(spend("runner"), "it was not sent");
            assert!(!spend("runner"));
        })
        .await;
    }

    #[tokio::test]
    async fn a_write_that_was_paid_for_may_be_another() {
        assert!(!owes_a_write(), "outside a job nothing is");
        paid(held(Lane::Drift), async { assert!(!owes_a_write(), "a look is no write") }).await;
        paid(held(Lane::Provision), async {
            assert!(owes_a_write());
            swap();
            assert!(!owes_a_write() && !spend("generate-jitconfig"));
        })
        .await;
    }
}
