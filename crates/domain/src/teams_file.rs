//! Teams files: people, teams, members, machine clients and policies as text that can be reviewed and applied.
//!
//! A file states the whole wanted value: a field that is not written has its default, as for a new team.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ClaimRule, DriftResponse, Role};

/// People and teams that a file manages, and test cases of its policies.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TeamsFile {
    /// People, each once in all files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonEntry>,
    /// Teams, each once in all files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<TeamEntry>,
    /// Test cases for `rts policy test`. They change nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<CaseEntry>,
}

/// A person, known by their e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonEntry {
    /// E-mail as in the person's tokens. It invites a person who does not exist.
    #[schema(example = "ada@example.com", min_length = 5, max_length = 254)]
    pub email: String,
    /// Token issuer of a new person, one of those configured; by default the first that binds people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    pub issuer: Option<String>,
    /// Token subject of a new person, which binds them at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub oidc_sub: Option<String>,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub display_name: Option<String>,
    /// Role of the person.
    #[serde(default, skip_serializing_if = "is_default")]
    pub role: Role,
    /// Whether the person may request JIT configs.
    #[serde(default = "enabled", skip_serializing_if = "is_enabled")]
    #[schema(default = true)]
    pub can_use_jit: bool,
    /// Whether the person may request registration tokens.
    #[serde(default, skip_serializing_if = "is_default")]
    pub can_use_registration_token: bool,
    /// Whether the person is active. Without it, a deactivated person stays deactivated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
}

/// A team with its policy, members and machine clients.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamEntry {
    /// Unique name of 2 to 50 lower-case letters, digits and hyphens. It begins and ends with a letter or digit.
    #[schema(example = "platform", min_length = 2, max_length = 50)]
    pub name: String,
    /// Free text about the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1000)]
    pub description: Option<String>,
    /// Labels that every runner gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub required_labels: Vec<String>,
    /// Patterns of further labels: `*`, `glob:gpu-*`, or a regular expression over the whole label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100, example = json!(["glob:gpu-*"]))]
    pub optional_label_patterns: Vec<String>,
    /// Whether every runner gets the label `self-hosted`. GitHub adds no label to a runner with a JIT config.
    #[serde(default = "enabled", skip_serializing_if = "is_enabled")]
    #[schema(default = true)]
    pub add_self_hosted: bool,
    /// Runner groups that the team may use; empty means only the default group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub allowed_runner_group_ids: Vec<i64>,
    /// Repositories whose jobs may run on its runners: globs of `owner/name`; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100, example = json!(["octo-org/*"]))]
    pub allowed_repositories: Vec<String>,
    /// Workflows whose jobs may run on its runners: globs of their names; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100, example = json!(["CI*"]))]
    pub allowed_workflows: Vec<String>,
    /// Maximum number of runners at a time; null means unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub max_runners: Option<i32>,
    /// Weight in the fair queue, above 0 and at most 100.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schema(default = 1.0, exclusive_minimum = 0, maximum = 100)]
    pub weight: f64,
    /// Reaction to label drift of an idle runner: `observe`, `repair` or `delete`.
    #[serde(default = "delete", skip_serializing_if = "is_delete")]
    #[schema(value_type = String, default = "delete", pattern = "^(observe|repair|delete)$")]
    pub drift_response: DriftResponse,
    /// The GitHub installation of its runners, by its name in the settings.
    #[serde(default = "default_installation", skip_serializing_if = "is_default_installation")]
    #[schema(default = "default", min_length = 1, max_length = 40)]
    pub installation: String,
    /// Whether the team is active. Without it, a deactivated team stays deactivated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
    /// Members, by e-mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["ada@example.com"]))]
    pub members: Vec<String>,
    /// Machine clients that act for the team.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientEntry>,
}

/// A machine client of a team.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientEntry {
    /// Client id at the identity provider; with a rule, a name for the client.
    #[schema(example = "ci-pipeline", min_length = 1, max_length = 255)]
    pub client_id: String,
    /// Issuer of its tokens, one of those configured; by default the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    pub issuer: Option<String>,
    /// Free text about the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1000)]
    pub description: Option<String>,
    /// Rule that selects its tokens if they have no client id (GitHub Actions, Kubernetes): `subject`, a pattern of the
    /// whole subject, and `claims` with exact values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub rule: Option<ClaimRule>,
    /// Whether the client is active. Without it, a deactivated client stays deactivated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
}

/// A request with the decision that the policy must make about it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseEntry {
    /// Name of the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Team of the request, one of those in the files.
    pub team: String,
    /// Person (e-mail) or machine client (client id) who sends the request; by default a member of the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Labels in addition to the team's required labels.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub labels: Vec<String>,
    /// Runner group; by default the default group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub runner_group_id: Option<i64>,
    /// Number of runners that the team has already.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schema(minimum = 0)]
    pub in_use: u32,
    /// `allow`, `refuse`, or the problem code of the refusal, such as `label_policy_violation`.
    #[schema(example = "label_policy_violation")]
    pub expect: String,
}

const fn enabled() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_enabled(value: &bool) -> bool {
    *value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(weight: &f64) -> bool {
    weight.to_bits() == 1.0_f64.to_bits()
}

const fn delete() -> DriftResponse {
    DriftResponse::Delete
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_delete(response: &DriftResponse) -> bool {
    *response == DriftResponse::Delete
}

fn default_installation() -> String {
    "default".to_owned()
}

fn is_default_installation(name: &str) -> bool {
    name == "default"
}
