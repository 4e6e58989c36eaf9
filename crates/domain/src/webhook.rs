//! Webhook events from GitHub and their meaning for runners.
//!
//! Fields of real deliveries sometimes contradict each other. Few fields are therefore required, and unneeded ones are
//! ignored.

mod job;
mod read;

pub use job::{Decision, EventIgnored, PolicyViolation, WorkflowMark};
pub use read::{Content, Delivery, InvalidJson, WebhookSource};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The relevant content of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum WebhookEvent {
    /// A workflow job started on a runner or ended.
    WorkflowJob(WorkflowJob),
    /// The App installation changed.
    Installation(InstallationEvent),
}

/// One event of a workflow job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowJob {
    /// GitHub's id of the job; each attempt has its own.
    pub id: i64,
    /// Id of the workflow run.
    pub run_id: i64,
    /// Whether the job is completed; otherwise it is running.
    pub completed: bool,
    /// Repository, as `owner/name`.
    pub repository: String,
    /// Name of the workflow, if given.
    pub workflow: Option<String>,
    /// Name of the job.
    pub name: Option<String>,
    /// Labels of `runs-on`.
    pub labels: Vec<String>,
    /// GitHub's id of the runner.
    pub runner_id: Option<i64>,
    /// Name of the runner.
    pub runner_name: Option<String>,
    /// Whether the job runs on a GitHub-hosted machine.
    pub hosted: bool,
    /// Time of the event, by GitHub's clock.
    pub at: Option<DateTime<Utc>>,
    /// Conclusion of the job.
    pub conclusion: Option<String>,
}

/// A change of an App installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationEvent {
    /// Kind of the change.
    pub change: InstallationChange,
    /// Time of the change, by GitHub's clock.
    pub at: Option<DateTime<Utc>>,
    /// Login of the person who made the change.
    pub by: Option<String>,
}

/// Kinds of changes of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallationChange {
    /// Suspended: GitHub refuses all calls.
    Suspend,
    /// Uninstalled.
    Deleted,
    /// No longer suspended.
    Unsuspend,
    /// Its permissions changed.
    NewPermissionsAccepted,
}

impl InstallationChange {
    /// Returns GitHub's name of the change.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Deleted => "deleted",
            Self::Unsuspend => "unsuspend",
            Self::NewPermissionsAccepted => "new_permissions_accepted",
        }
    }
}
