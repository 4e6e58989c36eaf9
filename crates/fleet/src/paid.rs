//! The request a claim has paid for.

use std::{cell::Cell, time::Duration};

use domain::Lane;
use tokio::time::Instant;

use crate::endpoints::prepaid;

tokio::task_local! {
    static PAID: Cell<Option<&'static str>>;
    /// Nothing has been sent since the claim.
    static FIRST: Cell<bool>;
    /// When the job began.
    static BEGUN: Instant;
}

/// Runs a claimed job: the first request to the endpoint of its lane was paid for by the claim and asks nobody again.
pub async fn paid<T>(lane: Lane, job: impl Future<Output = T>) -> T {
    let job = PAID.scope(Cell::new(Some(prepaid(lane))), job);
    BEGUN.scope(Instant::now(), FIRST.scope(Cell::new(true), job)).await
}

/// How long ago the claim was.
pub(crate) fn age() -> Duration {
    BEGUN.try_with(Instant::elapsed).unwrap_or_default()
}

/// Whether this is a claimed job that has sent nothing yet: the probe, if its claim was one.
pub(crate) fn is_first() -> bool {
    FIRST.try_with(Cell::get).unwrap_or(false)
}

/// Something is sent now.
pub(crate) fn sent() {
    // Outside a job there is nothing to note.
    let _ = FIRST.try_with(|first| first.set(false));
}

/// Whether a write was paid for that has not been made.
pub(crate) fn owes_a_write() -> bool {
    PAID.try_with(|paid| paid.get().is_some_and(|endpoint| endpoint != prepaid(Lane::Drift))).unwrap_or(false)
}

/// Another write was made instead of the one that was paid for.
pub(crate) fn swap() {
    // Outside a job nothing is paid for.
    let _ = PAID.try_with(|paid| paid.set(None));
}

/// Uses up what was paid for, if it is this.
pub(crate) fn spend(endpoint: &str) -> bool {
    PAID.try_with(|paid| {
        let fits = paid.get() == Some(endpoint);
        if fits {
            paid.set(None);
            sent();
        }
        fits
    })
    .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_first_request_of_its_kind_is_paid_for() {
        assert!(!spend("runner"), "outside a job nothing is");
        paid(Lane::Drift, async {
            assert!(!spend("delete-runner"));
            assert!(spend("runner"));
            assert!(!spend("runner"));
        })
        .await;
    }

    #[tokio::test]
    async fn a_write_that_was_paid_for_may_be_another() {
        assert!(!owes_a_write(), "outside a job nothing is");
        paid(Lane::Drift, async { assert!(!owes_a_write(), "a look is no write") }).await;
        paid(Lane::Provision, async {
            assert!(owes_a_write());
            swap();
            assert!(!owes_a_write() && !spend("generate-jitconfig"));
        })
        .await;
    }
}
