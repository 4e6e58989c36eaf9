//! History of one job: its events and its calls to GitHub.

use chrono::{DateTime, Utc};
use domain::{Caller, Job, JobEvent, JobEventKind, JobHistory};
use serde::Serialize;
use store::CallRow;
use utoipa::ToSchema;

use crate::{app::AppState, error::ApiResult, openapi};

/// One event in the history of a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = JobEvent)]
pub(crate) struct JobEventView {
    /// Time of the event.
    pub(crate) at: DateTime<Utc>,
    /// Kind of the event. The job starts again after `snoozed` (it waits for a limit, an outage or a busy runner),
    /// `retried` (it failed), `released` (its worker stopped), `rescued` (its worker died) and `restarted` (its result
    /// could not be recorded).
    #[schema(schema_with = openapi::job_event)]
    pub(crate) what: JobEventKind,
    /// Worker; for admins and viewers only.
    pub(crate) worker: Option<String>,
    /// Number of the start; for admins and viewers only.
    pub(crate) start: Option<i64>,
    /// Reason of a wait, a failure or an end.
    #[schema(example = "budget")]
    pub(crate) detail: Option<String>,
    /// Time from which the job may start again.
    pub(crate) next_at: Option<DateTime<Utc>>,
}

/// One call to GitHub that was to create the job's runner.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = JobCall)]
pub(crate) struct JobCallView {
    /// Number of the try, from 1.
    pub(crate) generation: i16,
    /// Name requested for the runner.
    pub(crate) runner_name: String,
    /// Installation that made the call: in an App pool, one of its Apps. Null for calls of older versions.
    #[schema(example = "default")]
    pub(crate) app_installation: Option<String>,
    /// `intent` (no outcome yet), `delivered`, `refused`, `effect_suspected` (the answer was lost) or `settled`.
    #[schema(example = "delivered")]
    pub(crate) state: String,
    /// GitHub's id of the runner.
    pub(crate) github_runner_id: Option<i64>,
    /// GitHub's id of the request, for its support; null if no answer came.
    #[schema(example = "8F2C:1D3E:5A7B:9C0D:6123ABCD")]
    pub(crate) github_request_id: Option<String>,
    /// Time at which the call was written down.
    pub(crate) started_at: DateTime<Utc>,
    /// Time of its outcome.
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

/// Events and calls of a job.
pub(crate) struct History {
    pub(crate) events: Vec<JobEventView>,
    pub(crate) calls: Vec<JobCallView>,
}

impl History {
    /// Reads the history. A job that never started has none to read.
    pub(crate) async fn read(app: &AppState, caller: &Caller, job: &Job) -> ApiResult<Self> {
        let (mut history, mut calls) = (JobHistory::default(), Vec::new());
        if job.fence > 0 {
            let mut conn = app.store.conn().await?;
            history = conn.jobs().history(job.id).await?;
            if job.kind.makes_runner() {
                calls = conn.jobs().calls(job.id).await?;
            }
        }
        let inside = caller.sees_everything();
        let events = history.events(job).into_iter().map(|event| JobEventView::new(event, inside)).collect();
        Ok(Self { events, calls: calls.into_iter().map(JobCallView::from).collect() })
    }

    /// Returns the number of calls that have an outcome, for the entity tag.
    pub(super) fn outcomes(&self) -> usize {
        self.calls.iter().filter(|call| call.finished_at.is_some()).count()
    }
}

impl JobEventView {
    /// Returns the view of an event. `inside`: the caller may see workers.
    fn new(event: JobEvent, inside: bool) -> Self {
        Self {
            at: event.at,
            what: event.what,
            worker: event.worker.filter(|_| inside),
            start: event.fence.filter(|_| inside),
            detail: event.detail,
            next_at: event.next_at,
        }
    }
}

impl From<CallRow> for JobCallView {
    fn from(row: CallRow) -> Self {
        Self {
            generation: row.generation,
            runner_name: row.runner_name,
            app_installation: row.app_installation,
            state: row.state,
            github_runner_id: row.github_runner_id,
            github_request_id: row.github_request_id,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}
