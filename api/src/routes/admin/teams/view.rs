//! View of a team.

use chrono::{DateTime, Utc};
use domain::Team;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{openapi, warning::Warning};

/// A team.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Team)]
pub(crate) struct TeamView {
    /// Id of the team.
    pub(crate) id: Uuid,
    /// Unique name.
    pub(crate) name: String,
    /// Free text about the team.
    pub(crate) description: Option<String>,
    /// Labels that every runner of the team gets.
    pub(crate) required_labels: Vec<String>,
    /// Patterns of further labels: `*`, `glob:gpu-*`, or a regular expression over the whole label.
    pub(crate) optional_label_patterns: Vec<String>,
    /// Whether every runner gets the label `self-hosted`.
    pub(crate) add_self_hosted: bool,
    /// Runner groups that the team may use; empty means only the default group.
    pub(crate) allowed_runner_group_ids: Vec<i64>,
    /// Repositories whose jobs may run on its runners: globs of `owner/name`; empty means all.
    pub(crate) allowed_repositories: Vec<String>,
    /// Workflows whose jobs may run on its runners: globs of their names; empty means all.
    pub(crate) allowed_workflows: Vec<String>,
    /// Maximum number of runners at a time; null means unlimited.
    pub(crate) max_runners: Option<i32>,
    /// Weight in the fair queue.
    pub(crate) weight: f64,
    /// Reaction to label drift of an idle runner.
    #[schema(schema_with = openapi::drift_response)]
    pub(crate) drift_response: domain::DriftResponse,
    /// The GitHub installation of its runners.
    pub(crate) installation: String,
    /// Whether the team is active.
    pub(crate) is_active: bool,
    /// Reason of the deactivation.
    pub(crate) deactivation_reason: Option<String>,
    /// Number of members.
    pub(crate) member_count: i64,
    /// Number of runners that are not deleted.
    pub(crate) active_runner_count: i64,
    /// Time at which the team was added.
    pub(crate) created_at: DateTime<Utc>,
    /// Time of the last change.
    pub(crate) updated_at: DateTime<Utc>,
    /// Warnings about labels, only in responses to a change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Warning>,
}

impl From<Team> for TeamView {
    fn from(team: Team) -> Self {
        Self {
            id: team.id.uuid(),
            name: team.name,
            description: team.description,
            required_labels: team.required_labels,
            optional_label_patterns: team.optional_label_patterns,
            add_self_hosted: team.add_self_hosted,
            allowed_runner_group_ids: team.allowed_runner_group_ids,
            allowed_repositories: team.allowed_repositories,
            allowed_workflows: team.allowed_workflows,
            max_runners: team.max_runners,
            weight: team.weight,
            drift_response: team.drift_response,
            installation: team.installation.to_string(),
            is_active: team.is_active,
            deactivation_reason: team.deactivation_reason,
            member_count: team.member_count,
            active_runner_count: team.active_runner_count,
            created_at: team.created_at,
            updated_at: team.updated_at,
            warnings: Vec::new(),
        }
    }
}
