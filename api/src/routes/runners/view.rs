//! Views of a runner and of its status changes.

use chrono::{DateTime, Utc};
use domain::{InstallationId, Runner, RunnerStatus};
use serde::Serialize;
use store::TransitionRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{openapi, routes::audit::AuditView};

/// A runner.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Runner)]
pub(crate) struct RunnerView {
    /// Our id of the runner.
    pub(crate) runner_id: Uuid,
    /// Name on GitHub; while `requested`, the name of the newest generation.
    pub(crate) runner_name: String,
    /// Status of the runner.
    #[schema(schema_with = openapi::runner_status)]
    pub(crate) status: RunnerStatus,
    /// Whether the runner runs a workflow job now.
    pub(crate) busy: bool,
    /// GitHub's id of the runner.
    pub(crate) github_runner_id: Option<i64>,
    /// Installation whose App made the runner; in an App pool, one of its Apps. Null before that.
    pub(crate) app_installation: Option<String>,
    /// Id of GitHub's runner group.
    pub(crate) runner_group_id: i64,
    /// Labels bound by the request.
    pub(crate) labels: Vec<String>,
    /// Whether the runner takes one workflow job and is then removed.
    pub(crate) ephemeral: bool,
    /// Version of the runner software, as the caller stated it.
    pub(crate) stated_version: Option<String>,
    /// Version of the runner software, as GitHub reported it.
    pub(crate) version: Option<String>,
    /// Identity of the requester.
    pub(crate) provisioned_by: Option<String>,
    /// Id of the team.
    pub(crate) team_id: Uuid,
    /// Name of the team.
    pub(crate) team_name: String,
    /// Time of the request.
    pub(crate) created_at: DateTime<Utc>,
    /// Time of the last change.
    pub(crate) updated_at: DateTime<Utc>,
    /// Time at which the config was issued.
    pub(crate) registered_at: Option<DateTime<Utc>>,
    /// Time at which the runner was found or made `deleted`.
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    /// Installation of the runner, for pages alone.
    #[serde(skip)]
    pub(crate) installation: InstallationId,
}

impl From<Runner> for RunnerView {
    fn from(runner: Runner) -> Self {
        Self {
            runner_id: runner.id.uuid(),
            runner_name: runner.name,
            status: runner.status,
            busy: runner.busy,
            github_runner_id: runner.github_runner_id,
            app_installation: runner.app_installation,
            runner_group_id: runner.runner_group_id,
            labels: runner.labels,
            ephemeral: runner.ephemeral,
            stated_version: runner.stated_version,
            version: runner.version,
            provisioned_by: runner.provisioned_by_name,
            team_id: runner.team.uuid(),
            team_name: runner.team_name,
            created_at: runner.created_at,
            updated_at: runner.updated_at,
            registered_at: runner.registered_at,
            deleted_at: runner.deleted_at,
            installation: runner.installation,
        }
    }
}

/// A runner and its history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RunnerWithEvents {
    #[serde(flatten)]
    pub(crate) runner: RunnerView,
    /// The last 100 audit rows, newest first.
    pub(crate) events: Vec<AuditView>,
    /// The last 100 status changes, newest first.
    pub(crate) transitions: Vec<TransitionView>,
}

/// A status change of a runner.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Transition)]
pub(crate) struct TransitionView {
    /// Time of the change.
    pub(crate) at: DateTime<Utc>,
    /// Status before; null for the first change.
    pub(crate) from_status: Option<String>,
    /// Status after.
    pub(crate) to_status: String,
    /// Source of the change: `sync`, `webhook`, `refresh`, `api` or `job`.
    #[schema(example = "sync")]
    pub(crate) source: String,
    /// Reason of the change.
    pub(crate) detail: Option<String>,
}

impl From<TransitionRow> for TransitionView {
    fn from(row: TransitionRow) -> Self {
        Self {
            at: row.at,
            from_status: row.from_status,
            to_status: row.to_status,
            source: row.source,
            detail: row.detail,
        }
    }
}
