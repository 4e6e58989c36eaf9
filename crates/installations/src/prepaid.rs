//! The claimed job of a request, and the request that its claim paid for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use domain::{JobId, Lane};
use github::{Gate, GateFuture};
use http::Method;
use queue::PrepaidRequest;
use tokio::time::Instant;

use crate::{budget_gate::BudgetGate, endpoints};

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

/// The request that the claim of a job paid for. It is for the endpoint of the job's lane and is used once.
pub(crate) struct PrepaidCall {
    job: ClaimedJob,
    /// Whether the request was sent, as the end of the lease reports it.
    request: PrepaidRequest,
    available: AtomicBool,
}

impl PrepaidCall {
    /// Returns the payment; `paid` is false if the budget of another App has it.
    pub(crate) fn new(job: ClaimedJob, request: PrepaidRequest, paid: bool) -> Self {
        request.mark_unused();
        Self { job, request, available: AtomicBool::new(paid) }
    }

    /// Returns the job that the claim was for.
    pub(crate) fn job(&self) -> ClaimedJob {
        self.job
    }

    /// Uses the payment if it is for this endpoint; returns whether it was.
    pub(crate) fn use_for(&self, endpoint: &str) -> bool {
        endpoint == endpoints::prepaid(self.job.lane) && self.available.swap(false, Ordering::Relaxed)
    }

    /// Restores a payment whose request was not sent, so that the next such request is paid for.
    pub(crate) fn restore(&self) {
        self.available.store(true, Ordering::Relaxed);
    }

    /// Marks the prepaid request as sent.
    pub(crate) fn mark_sent(&self) {
        self.request.mark_used();
    }

    /// Whether a write was paid for and not yet sent.
    pub(crate) fn has_unused_write(&self) -> bool {
        self.job.lane != Lane::Drift && self.available.load(Ordering::Relaxed)
    }

    /// Uses the payment up for another write.
    pub(crate) fn forfeit(&self) {
        self.available.store(false, Ordering::Relaxed);
    }
}

/// Gate of one claimed job's client: the budget gate of the installation, with the prepaid request.
pub(crate) struct JobGate {
    budget: Arc<BudgetGate>,
    prepaid: PrepaidCall,
}

impl JobGate {
    pub(crate) fn new(budget: Arc<BudgetGate>, prepaid: PrepaidCall) -> Self {
        Self { budget, prepaid }
    }
}

impl Gate for JobGate {
    fn admit(&self, operation: &'static str, _: &Method) -> GateFuture<'_> {
        Box::pin(self.budget.acquire(operation, Some(&self.prepaid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepaid(lane: Lane) -> PrepaidCall {
        let job = ClaimedJob { job: JobId::new(), lane, since: Instant::now() };
        PrepaidCall::new(job, PrepaidRequest::default(), true)
    }

    #[test]
    fn first_request_of_the_lanes_endpoint_is_paid_for() {
        let prepaid = prepaid(Lane::Drift);
        assert!(!prepaid.use_for("delete-runner"));
        assert!(prepaid.use_for("runner"));
        assert!(!prepaid.use_for("runner"));
        prepaid.restore();
        assert!(prepaid.use_for("runner"), "it was not sent");
        assert!(!prepaid.use_for("runner"));
    }

    #[test]
    fn prepaid_write_may_be_used_for_another_write() {
        assert!(!prepaid(Lane::Drift).has_unused_write(), "a drift check's lookup is no write");
        let prepaid = prepaid(Lane::Provision);
        assert!(prepaid.has_unused_write());
        prepaid.forfeit();
        assert!(!prepaid.has_unused_write() && !prepaid.use_for("generate-jitconfig"));
    }
}
