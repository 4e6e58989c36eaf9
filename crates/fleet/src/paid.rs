//! The request a claim has paid for.

use std::cell::Cell;

use domain::Lane;

use crate::endpoints::prepaid;

tokio::task_local! {
    static PAID: Cell<Option<&'static str>>;
}

/// Runs a claimed job: its first request to the endpoint of its lane was paid for by the claim and asks nobody again.
pub async fn paid<T>(lane: Lane, job: impl Future<Output = T>) -> T {
    PAID.scope(Cell::new(Some(prepaid(lane))), job).await
}

/// Uses up what was paid for, if it is this.
pub(crate) fn spend(endpoint: &str) -> bool {
    PAID.try_with(|paid| {
        let fits = paid.get() == Some(endpoint);
        if fits {
            paid.set(None);
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
}
