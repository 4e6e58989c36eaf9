//! View of a machine client and of its claim rule.

use chrono::{DateTime, Utc};
use domain::MachineClient;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// A machine client.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = MachineClient)]
pub(crate) struct ClientView {
    /// Our id of the machine client.
    pub(crate) id: Uuid,
    /// Client id at the identity provider, or a name for the rule.
    pub(crate) client_id: String,
    /// Issuer of its tokens.
    pub(crate) issuer: String,
    /// The team it acts for.
    pub(crate) team_id: Uuid,
    /// Free text about the client.
    pub(crate) description: Option<String>,
    /// Rule that selects its tokens if they have no client id.
    pub(crate) rule: Option<ClaimRuleBody>,
    /// Whether the client may act.
    pub(crate) is_active: bool,
    /// Time at which the client was added.
    pub(crate) created_at: DateTime<Utc>,
    /// Time of the last request, precise to about five minutes.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    /// Identity of the admin who added the client; null for clients of an earlier release and of files.
    pub(crate) created_by: Option<String>,
}

impl From<MachineClient> for ClientView {
    fn from(client: MachineClient) -> Self {
        Self {
            id: client.id.uuid(),
            client_id: client.client_id,
            issuer: client.issuer,
            team_id: client.team.uuid(),
            description: client.description,
            rule: client.rule.map(|rule| ClaimRuleBody { subject: rule.subject, claims: rule.claims }),
            is_active: client.is_active,
            created_at: client.created_at,
            last_used_at: client.last_used_at,
            created_by: client.created_by,
        }
    }
}

/// Rule that selects tokens of an issuer.
#[derive(Clone, Debug, Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClaimRule)]
pub(crate) struct ClaimRuleBody {
    /// Pattern of the whole subject, case-sensitive. It must be literal past the owner, unless a claim names the owner.
    #[schema(min_length = 1, example = "repo:octo-org/deploy:environment:prod")]
    pub(crate) subject: String,
    /// Exact values of further claims.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) claims: std::collections::BTreeMap<String, Value>,
}
