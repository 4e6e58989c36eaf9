//! Record of a job that ends without success.

use domain::{AuditEntry, Job, JobKind, Problem, RunnerId, Source};
use serde_json::json;
use store::{ExpiredJob, StoreError, Tx};

/// Event type of the audit row.
const EVENT_TYPE: &str = "job.failed";

/// A job that ends without success: its subject in the audit log, and the runner that ends with it.
#[derive(Clone, Debug)]
pub struct FailedJob {
    kind: String,
    subject: AuditEntry,
    unmade_runner: Option<RunnerId>,
}

impl From<&Job> for FailedJob {
    fn from(job: &Job) -> Self {
        Self {
            kind: job.kind.as_str().to_owned(),
            subject: AuditEntry::of_job(job, EVENT_TYPE),
            unmade_runner: job.runner.filter(|_| job.kind.makes_runner()),
        }
    }
}

impl From<&ExpiredJob> for FailedJob {
    fn from(job: &ExpiredJob) -> Self {
        // A kind that this version does not know has made no runner if GitHub does not know its runner.
        let makes_runner = job.kind.parse().map_or(job.runner_requested, JobKind::makes_runner);
        let subject = AuditEntry {
            requester: job.requester,
            runner: job.runner,
            runner_name: job.runner_name.clone(),
            team: job.team,
            job: Some(job.id),
            ..AuditEntry::service(EVENT_TYPE)
        };
        Self { kind: job.kind.clone(), subject, unmade_runner: job.runner.filter(|_| makes_runner) }
    }
}

impl FailedJob {
    /// Writes the audit row, and marks a runner that was never made as deleted, which frees its place in the quota. Part
    /// of the transaction that ends the job. `reason` is recorded with the runner.
    ///
    /// # Errors
    /// Database errors.
    pub async fn record(
        self,
        tx: &mut Tx,
        reason: &'static str,
        problem: Option<&Problem>,
    ) -> Result<(), StoreError> {
        if let Some(runner) = self.unmade_runner {
            tx.runners().mark_deleted(runner, Source::Job, reason).await?;
        }
        let entry = AuditEntry {
            data: json!({ "kind": self.kind, "code": problem.map(|problem| problem.code) }),
            error: Some(problem.map_or_else(|| "failed".to_owned(), |problem| problem.detail.clone())),
            ..self.subject
        };
        tx.audit().write(&entry).await
    }
}
