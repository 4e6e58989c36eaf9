//! History of one job and of its GitHub calls.

use chrono::{DateTime, Utc};
use domain::{JobHistory, JobId, JobStop, MAX_JOB_STOPS};

use super::Jobs;
use crate::{Result, StoreError, readable::keep_readable};

/// Most calls in one answer: a job makes at most a few more.
const MAX_CALLS: i64 = 50;

/// One GitHub call that was to create the job's runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// Number of the try, from 1.
    pub generation: i16,
    /// Name requested for the runner.
    pub runner_name: String,
    /// Installation that made the call; `None` in rows of older versions.
    pub app_installation: Option<String>,
    /// State of the call.
    pub state: String,
    /// GitHub's id of the created runner, if known.
    pub github_runner_id: Option<i64>,
    /// GitHub's id of the request, if a response came.
    pub github_request_id: Option<String>,
    /// Time of the intent.
    pub started_at: DateTime<Utc>,
    /// Time of the outcome.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Jobs<'_> {
    /// Returns what the rows keep of the job's starts.
    pub async fn history(&mut self, id: JobId) -> Result<JobHistory> {
        let rows = sqlx::query!(
            r#"SELECT started_by, run_started_at, e.fence AS "fence?", e.worker AS "stop_worker?",
                e.started_at AS "stop_started_at?", e.at AS "at?", e.what AS "what?", e.detail AS "detail?",
                e.next_at AS "next_at?"
             FROM jobs LEFT JOIN job_events e ON e.job_id = jobs.id
             WHERE jobs.id = $1 ORDER BY e.fence LIMIT $2"#,
            id.uuid(),
            i64::try_from(MAX_JOB_STOPS).unwrap_or(i64::MAX),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let mut history = JobHistory::default();
        for row in rows {
            history.worker = row.started_by;
            history.started_at = row.run_started_at;
            let (Some(fence), Some(at), Some(what)) = (row.fence, row.at, row.what) else { continue };
            let stop = what.parse().map_err(StoreError::inconsistent).map(|what| JobStop {
                fence,
                worker: row.stop_worker,
                started_at: row.stop_started_at,
                at,
                what,
                detail: row.detail,
                next_at: row.next_at,
            });
            history.stops.extend(keep_readable(stop));
        }
        Ok(history)
    }

    /// Returns the job's GitHub calls, oldest first, at most 50.
    pub async fn calls(&mut self, id: JobId) -> Result<Vec<CallRow>> {
        Ok(sqlx::query_as!(
            CallRow,
            "SELECT generation, runner_name, app_installation, state, github_runner_id, github_request_id, started_at,
                finished_at
             FROM github_calls WHERE job_id = $1 ORDER BY generation LIMIT $2",
            id.uuid(),
            MAX_CALLS,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}
