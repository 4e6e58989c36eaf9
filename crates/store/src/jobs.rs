//! Jobs. A result is written only under the fence of the job's newest start.

mod accept;
mod failures;
mod history;
mod list;
mod request;
mod run;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Job, JobId, Requester};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::{
    accept::NewJob,
    failures::{Dismissal, FailureRow},
    history::CallRow,
    list::JobFilter,
    request::AcceptedRequest,
    run::{Counter, Postponement},
};
use crate::{
    Result, StoreError, Visible,
    readable::{read_exactly, read_row},
};

/// Job queries on one connection.
#[derive(Debug)]
pub struct Jobs<'c>(pub(crate) &'c mut PgConnection);

struct JobRow {
    id: Uuid,
    kind: String,
    installation: String,
    team_id: Option<Uuid>,
    requester_user: Option<Uuid>,
    requester_client: Option<Uuid>,
    asked_by: Option<Vec<u8>>,
    joined: i32,
    runner_id: Option<Uuid>,
    runner_name: Option<String>,
    state: String,
    blocked_on: Option<String>,
    attempts: i32,
    snoozes: i32,
    rescues: i32,
    fence: i64,
    run_at: DateTime<Utc>,
    deadline_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    params: Value,
    error: Option<Value>,
    trace: Option<String>,
    now: DateTime<Utc>,
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self> {
        let wrong = StoreError::inconsistent;
        Ok(Self {
            id: row.id.into(),
            kind: row.kind.parse().map_err(wrong)?,
            installation: row.installation.parse().map_err(StoreError::inconsistent)?,
            team: row.team_id.map(Into::into),
            requester: Requester::from_columns(
                row.requester_user.map(Into::into),
                row.requester_client.map(Into::into),
            ),
            asked_by: row.asked_by,
            waiters: row.joined,
            runner: row.runner_id.map(Into::into),
            runner_name: row.runner_name,
            state: row.state.parse().map_err(wrong)?,
            blocked_on: row.blocked_on.map(|word| word.parse().map_err(wrong)).transpose()?,
            attempts: row.attempts,
            snoozes: row.snoozes,
            rescues: row.rescues,
            fence: row.fence,
            run_at: row.run_at,
            deadline_at: row.deadline_at,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            params: read_exactly(&row.params)?,
            error: row.error.map(serde_json::from_value).transpose().map_err(StoreError::inconsistent)?,
            trace: row.trace,
            now: row.now,
        })
    }
}

/// A statement that returns complete jobs: `$head`, the columns, `$tail`.
macro_rules! job_rows {
    ($head:tt, $tail:tt $(+ $more:tt)* $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            JobRow,
            $head + r#" jobs.id, jobs.kind, jobs.installation, jobs.team_id, jobs.requester_user, jobs.requester_client,
                jobs.asked_by, jobs.joined, jobs.runner_id, (SELECT name FROM runners WHERE runners.id = jobs.runner_id) AS "runner_name?",
                jobs.state, jobs.blocked_on, jobs.attempts, jobs.snoozes, jobs.rescues, jobs.fence, jobs.run_at,
                jobs.deadline_at, jobs.created_at, jobs.started_at, jobs.finished_at, jobs.params, jobs.error,
                jobs.trace, clock_timestamp() AS "now!" "# + $tail $(+ $more)*
            $(, $arg)*
        )
    };
}

use job_rows;

impl Jobs<'_> {
    /// Returns the job, if it exists.
    ///
    /// # Errors
    /// `Inconsistent` if this version cannot read the job.
    pub async fn get(&mut self, id: JobId) -> Result<Option<Job>> {
        read_row(
            job_rows!("SELECT", "FROM jobs WHERE id = $1", id.uuid()).fetch_optional(&mut *self.0).await?,
        )
    }

    /// Returns whether a job with this id exists that the caller may see. It uses only columns that every version of the
    /// program writes alike, so that it answers for a job that this version cannot read.
    pub async fn is_visible(&mut self, id: JobId, visible: &Visible) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM jobs WHERE id = $1
                AND ($2 OR requester_user = $3 OR requester_client = $4 OR team_id = ANY($5))) AS "visible!""#,
            id.uuid(),
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }
}

/// Returns a time span as the seconds that `make_interval` takes.
#[expect(clippy::cast_precision_loss, reason = "spans here are hours at most")]
pub(crate) fn seconds(span: TimeDelta) -> f64 {
    span.num_milliseconds() as f64 / 1000.0
}
