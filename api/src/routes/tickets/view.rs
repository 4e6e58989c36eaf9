//! Claim tickets as the API shows them.

use chrono::{DateTime, Utc};
use domain::{ClaimTicket, TicketSecret, TicketState};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::TicketIdentityBody;
use crate::openapi;

/// A claim ticket, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClaimTicket)]
pub(crate) struct TicketView {
    /// Id of the ticket.
    pub(crate) ticket_id: Uuid,
    /// State of the ticket.
    #[schema(schema_with = openapi::ticket_state)]
    pub(crate) state: TicketState,
    /// Team of the runner.
    pub(crate) team_id: Uuid,
    /// Prefix of the runner's name.
    pub(crate) runner_name_prefix: String,
    /// Requested labels.
    pub(crate) labels: Vec<String>,
    /// Requested runner group; null for the default group.
    pub(crate) runner_group_id: Option<i64>,
    /// Work folder on the runner's machine.
    pub(crate) work_folder: String,
    /// Ranges of addresses that may redeem the ticket; empty for any address.
    pub(crate) addresses: Vec<String>,
    /// Identity whose token the machine must send.
    pub(crate) identity: Option<TicketIdentityBody>,
    /// Identity that asked for the ticket.
    pub(crate) requested_by: String,
    /// Time of creation.
    pub(crate) created_at: DateTime<Utc>,
    /// Time after which the ticket cannot be redeemed.
    pub(crate) expires_at: DateTime<Utc>,
    /// Time of its revocation.
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    /// Time of its redemption.
    pub(crate) redeemed_at: Option<DateTime<Utc>>,
    /// Address of the machine that redeemed it.
    pub(crate) redeemed_from: Option<String>,
    /// Issuer and subject of the machine's token, if the ticket asks for one.
    pub(crate) redeemed_by: Option<String>,
    /// Job that creates the runner.
    pub(crate) job_id: Option<Uuid>,
    /// The runner.
    pub(crate) runner_id: Option<Uuid>,
}

impl From<ClaimTicket> for TicketView {
    fn from(ticket: ClaimTicket) -> Self {
        let used = ticket.used.as_ref();
        Self {
            state: ticket.state(),
            redeemed_at: used.map(|used| used.at),
            redeemed_from: used.and_then(|used| used.address.clone()),
            redeemed_by: used.and_then(|used| used.identity.clone()),
            job_id: used.map(|used| used.job.uuid()),
            runner_id: used.map(|used| used.runner.uuid()),
            ticket_id: ticket.id.uuid(),
            team_id: ticket.team.uuid(),
            runner_name_prefix: ticket.runner.name_prefix,
            labels: ticket.runner.labels,
            runner_group_id: ticket.runner.runner_group_id,
            work_folder: ticket.runner.work_folder,
            addresses: ticket.holder.addresses.iter().map(ToString::to_string).collect(),
            identity: ticket.holder.identity.map(|identity| TicketIdentityBody {
                issuer: identity.issuer,
                subject: identity.rule.subject,
                claims: identity.rule.claims,
            }),
            requested_by: ticket.identity,
            created_at: ticket.created_at,
            expires_at: ticket.expires_at,
            revoked_at: ticket.revoked_at,
        }
    }
}

/// A new ticket with its text, which is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = NewClaimTicket)]
pub(crate) struct NewTicketView {
    /// Text of the ticket. It is a secret.
    #[schema(example = "rtst_…")]
    ticket: String,
    #[serde(flatten)]
    view: TicketView,
}

impl NewTicketView {
    pub(crate) fn new(ticket: ClaimTicket, secret: &TicketSecret) -> Self {
        Self { ticket: secret.expose().to_owned(), view: ticket.into() }
    }
}
