//! What GitHub's webhooks say, and what is to be done about it. Their fields contradict each other at times, so little
//! is required and nothing is trusted that is not needed.

mod job;
mod read;

pub use job::{Decision, EventIgnored, PolicyViolation, WorkflowMark};
pub use read::{Content, Delivery, InvalidJson, WebhookSource};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What is kept of a delivery that matters to us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum WebhookEvent {
    /// A workflow job took a runner or is over.
    WorkflowJob(WorkflowJob),
    /// Something happened to an installation of the App.
    Installation(InstallationEvent),
}

/// One workflow job, as one event tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowJob {
    /// GitHub's id of it; another attempt of the same job has another.
    pub id: i64,
    /// The workflow run it belongs to.
    pub run_id: i64,
    /// True: it is over. False: it runs.
    pub completed: bool,
    /// `owner/name`.
    pub repository: String,
    /// The workflow's name, where told.
    pub workflow: Option<String>,
    /// The job's name.
    pub name: Option<String>,
    /// Its `runs-on` labels.
    pub labels: Vec<String>,
    /// GitHub's id of its runner.
    pub runner_id: Option<i64>,
    /// That runner's name.
    pub runner_name: Option<String>,
    /// A machine of GitHub's own.
    pub hosted: bool,
    /// When this happened, by GitHub's clock.
    pub at: Option<DateTime<Utc>>,
    /// How it ended.
    pub conclusion: Option<String>,
}

/// What happened to an installation of the App.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationEvent {
    /// What.
    pub change: InstallationChange,
    /// When, by GitHub's clock.
    pub at: Option<DateTime<Utc>>,
    /// The login of who did it.
    pub by: Option<String>,
}

/// What can happen to an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallationChange {
    /// Suspended: GitHub refuses whatever we ask.
    Suspend,
    /// Uninstalled.
    Deleted,
    /// No longer suspended.
    Unsuspend,
    /// Other permissions from now on.
    NewPermissionsAccepted,
}

impl InstallationChange {
    /// GitHub's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Deleted => "deleted",
            Self::Unsuspend => "unsuspend",
            Self::NewPermissionsAccepted => "new_permissions_accepted",
        }
    }
}
