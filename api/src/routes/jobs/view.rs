//! View of a job.

use chrono::{DateTime, Utc};
use domain::{BlockedOn, InstallationId, Job, JobKind, JobState};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::history::{JobCallView, JobEventView};
use crate::{error::ProblemBody, openapi};

/// A job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobView {
    /// Id of the job.
    pub(crate) job_id: Uuid,
    /// Kind of the job.
    #[schema(schema_with = openapi::job_kind)]
    pub(crate) kind: JobKind,
    /// State of the job; `succeeded`, `failed`, `cancelled` and `expired` are final.
    #[schema(schema_with = openapi::job_state)]
    pub(crate) state: JobState,
    /// Reason why a queued job does not run yet.
    #[schema(schema_with = openapi::blocked_on)]
    pub(crate) blocked_on: Option<BlockedOn>,
    /// Estimated start of a queued job, from the queue and GitHub's limits; null if unknown, and in lists.
    pub(crate) estimated_start_at: Option<DateTime<Utc>>,
    /// Number of failures, including a running attempt.
    pub(crate) attempts: i32,
    /// Time at which the job was accepted.
    pub(crate) created_at: DateTime<Utc>,
    /// Time of the first start.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// Time of the final state.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Time after which the job is not run.
    pub(crate) deadline_at: DateTime<Utc>,
    /// Team whose quota and share the job uses.
    pub(crate) team_id: Option<Uuid>,
    /// Runner of the job.
    pub(crate) runner_id: Option<Uuid>,
    /// Name of that runner, final once the job has succeeded.
    pub(crate) runner_name: Option<String>,
    /// Error of a failed job.
    pub(crate) error: Option<ProblemBody>,
    /// Installation whose lanes it waits in, for pages alone.
    #[serde(skip)]
    pub(crate) installation: InstallationId,
    /// History of the job, oldest first, with its newest 64 starts; only in the answer that shows one job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<Vec<JobEventView>>,
    /// Calls to GitHub that were to create its runner; only in the answer that shows one job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calls: Option<Vec<JobCallView>>,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        let waits = (job.state == JobState::Queued).then(|| job.blocked_on.unwrap_or(BlockedOn::Worker));
        Self {
            job_id: job.id.uuid(),
            kind: job.kind,
            state: job.state,
            blocked_on: waits,
            estimated_start_at: None,
            attempts: job.attempts,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            deadline_at: job.deadline_at,
            team_id: job.team.map(Into::into),
            runner_id: job.runner.map(Into::into),
            runner_name: job.runner_name,
            error: job.error.as_ref().map(ProblemBody::from),
            installation: job.installation,
            events: None,
            calls: None,
        }
    }
}
