//! Rows that record a request for a runner.

use domain::{AuditEntry, Job};
use store::{AcceptedRequest, Jobs, KeyedRequest, NewJob, NewRunner};

use super::place::name_taken;
use crate::Result;

/// The rows of an accepted request.
pub(crate) struct RequestRows {
    runner: NewRunner,
    job: NewJob,
    /// Fingerprint of the principal that requested the job for a machine client.
    pub(super) asked_by: Option<Vec<u8>>,
    entry: AuditEntry,
}

impl RequestRows {
    /// Returns the rows. The audit row is about the runner and the job.
    pub(crate) fn new(runner: NewRunner, job: NewJob, asked_by: Option<Vec<u8>>, entry: AuditEntry) -> Self {
        let entry = AuditEntry {
            runner: Some(runner.id),
            runner_name: Some(runner.name.to_string()),
            team: Some(runner.team),
            job: Some(job.id),
            ..entry
        };
        Self { runner, job, asked_by, entry }
    }

    /// Inserts the rows.
    ///
    /// # Errors
    /// `runner_name_conflict`; database errors.
    pub(crate) async fn insert(&self, mut jobs: Jobs<'_>) -> Result<Job> {
        jobs.accept(&self.accepted()).await.map_err(name_taken)
    }

    /// Takes the idempotency key and inserts the rows. Returns `None`, and writes nothing, if the key is taken.
    ///
    /// # Errors
    /// `runner_name_conflict`; database errors.
    pub(crate) async fn insert_keyed(
        &self,
        mut jobs: Jobs<'_>,
        key: &KeyedRequest<'_>,
    ) -> Result<Option<Job>> {
        jobs.accept_keyed(&self.accepted(), key).await.map_err(name_taken)
    }

    fn accepted(&self) -> AcceptedRequest<'_> {
        let Self { runner, job, asked_by, entry } = self;
        AcceptedRequest { runner, job, asked_by: asked_by.as_deref(), entry }
    }
}
