//! The object of a request by the request's id.

use domain::{JobId, RunnerId};
use uuid::Uuid;

use super::Audit;
use crate::Result;

/// Milliseconds after a request in which it writes its rows, with a margin.
const MAX_REQUEST_MS: u128 = 60_000;

/// What a request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSubject {
    /// The job.
    pub job: Option<JobId>,
    /// The runner.
    pub runner: Option<RunnerId>,
}

impl Audit<'_> {
    /// Returns the job and the runner of the first audit row of a request. Request ids of this service begin with their
    /// time, as ids of rows do, and one clock gives both: the index on ids finds the rows of the next minute.
    pub async fn subject_of(&mut self, request: Uuid) -> Result<Option<RequestSubject>> {
        let millis = request.as_u128() >> 80;
        let bound = |millis: u128| Uuid::from_u128(millis << 80);
        let row = sqlx::query!(
            "SELECT job_id, runner_id FROM audit_log
             WHERE id >= $1 AND id < $2 AND request_id = $3 AND (job_id IS NOT NULL OR runner_id IS NOT NULL)
             ORDER BY id LIMIT 1",
            bound(millis),
            bound(millis + MAX_REQUEST_MS),
            request.to_string(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(row.map(|row| RequestSubject {
            job: row.job_id.map(JobId::from),
            runner: row.runner_id.map(RunnerId::from),
        }))
    }
}
