//! Claim tickets: asked for by a member of a team, redeemed by the machine that will be the runner.
//!
//! The request is checked when the ticket is made and again when it is redeemed. The quota counts runners, so only a
//! redemption takes a place in it; open tickets have a bound of their own.

mod redeem;

use chrono::TimeDelta;
use domain::{
    AuditEntry, ClaimTicket, Problem, ProblemCode, Requester, TeamId, TicketHolder, TicketId, TicketRunner,
    TicketSecret,
};
use serde_json::{Value, json};
use store::NewClaimTicket;

pub(crate) use self::redeem::Redemption;
pub use self::redeem::{Redeemed, Redeemer, ticket_refused};
use crate::{Actor, OperationError, Operations, ProvisionCommand, ProvisionRules, Registration, Result};

/// Most open tickets of one team.
pub const MAX_OPEN_TICKETS: i64 = 500;

const CREATED: &str = "ticket.create";
const REVOKED: &str = "ticket.revoke";

/// One validated request for a ticket.
#[derive(Debug)]
pub struct TicketDraft<'r> {
    /// The caller.
    pub by: Actor<'r>,
    /// Team named in the request; `None` means the caller's only team.
    pub team: Option<TeamId>,
    /// The promised runner.
    pub runner: TicketRunner,
    /// Machines that may redeem the ticket.
    pub holder: TicketHolder,
    /// Time for which it can be redeemed.
    pub life: TimeDelta,
}

impl Operations<'_> {
    /// Makes a ticket for a runner that the caller might request now. Returns it with its text, which is stored nowhere.
    ///
    /// # Errors
    /// The refusals of a request for such a runner, and `quota_exceeded` beyond [`MAX_OPEN_TICKETS`]; these are recorded.
    /// Database errors.
    pub async fn create_ticket(
        &self,
        rules: &ProvisionRules<'_>,
        draft: &TicketDraft<'_>,
    ) -> Result<(ClaimTicket, TicketSecret)> {
        let command = ProvisionCommand::new(draft.by, Registration::Jit, draft.runner.request(), draft.team);
        match self.insert_ticket(rules, draft, &command).await {
            Err(OperationError::Refused(problem)) => {
                command.record_refusal(self, CREATED, &problem).await?;
                Err(problem.into())
            }
            made => made,
        }
    }

    async fn insert_ticket(
        &self,
        rules: &ProvisionRules<'_>,
        draft: &TicketDraft<'_>,
        command: &ProvisionCommand<'_>,
    ) -> Result<(ClaimTicket, TicketSecret)> {
        let team = command.check_policy(self, rules).await?;
        let unavailable = |_| Problem::new(ProblemCode::InternalError, "No random bytes for a ticket.");
        let secret = TicketSecret::generate().map_err(unavailable)?;
        let caller = draft.by.caller;
        let mut tx = self.store.begin().await?;
        // Two counts at once would both find the last place free.
        tx.teams().lock_quota(team).await?;
        if tx.claim_tickets().count_open(team).await? >= MAX_OPEN_TICKETS {
            return Err(too_many_open().into());
        }
        let hash = secret.hash();
        let new = NewClaimTicket {
            id: TicketId::new(),
            secret_hash: &hash,
            team,
            requester: caller.requester,
            identity: &caller.identity,
            principal: &caller.principal,
            runner: &draft.runner,
            holder: &draft.holder,
            life: draft.life,
        };
        let ticket = tx.claim_tickets().insert(&new).await?;
        let entry = AuditEntry { team: Some(team), data: details(&ticket), ..draft.by.entry(CREATED) };
        tx.audit().write(&entry).await?;
        tx.commit().await?;
        Ok((ticket, secret))
    }

    /// Revokes an open ticket.
    ///
    /// # Errors
    /// `not_found` for a ticket that the caller may not see; `credential_denied` for a ticket of another subject of the
    /// same machine client's team, and `ticket_settled` if it is not open, which are recorded; database errors.
    pub async fn revoke_ticket(&self, by: Actor<'_>, id: TicketId) -> Result<ClaimTicket> {
        let caller = by.caller;
        let mut tx = self.store.begin().await?;
        let found = tx.claim_tickets().lock(id).await?;
        let ticket = found.filter(|ticket| caller.may_see(Some(ticket.team), Some(ticket.requester)));
        let ticket = ticket.ok_or_else(|| Problem::not_found("ticket"))?;
        let entry =
            AuditEntry { team: Some(ticket.team), data: json!({ "ticket_id": id }), ..by.entry(REVOKED) };
        let may = caller.is_admin
            || match caller.requester {
                Requester::User(_) => true,
                Requester::Client(_) => {
                    ticket.requester == caller.requester && ticket.principal == caller.principal
                }
            };
        let refusal = if !may {
            let detail =
                "Another subject asked for this ticket; a machine client revokes only its own subject's.";
            Some(Problem::new(ProblemCode::CredentialDenied, detail))
        } else if !tx.claim_tickets().revoke(id).await? {
            let detail = format!("The ticket is {}; only an open ticket can be revoked.", ticket.state());
            Some(Problem::new(ProblemCode::TicketSettled, detail))
        } else {
            None
        };
        if let Some(problem) = refusal {
            drop(tx);
            let entry = AuditEntry { error: Some(problem.detail.clone()), ..entry };
            self.record_refusal(&entry, &problem).await?;
            return Err(problem.into());
        }
        tx.audit().write(&entry).await?;
        let revoked = tx.claim_tickets().get(id).await?;
        tx.commit().await?;
        Ok(revoked.ok_or_else(|| Problem::not_found("ticket"))?)
    }
}

fn too_many_open() -> Problem {
    let detail = format!("The team has {MAX_OPEN_TICKETS} open claim tickets; redeem or revoke some first.");
    Problem::new(ProblemCode::QuotaExceeded, detail)
}

/// Returns the details of an audit row: everything but the text of the ticket.
fn details(ticket: &ClaimTicket) -> Value {
    json!({
        "ticket_id": ticket.id,
        "labels": ticket.runner.labels,
        "runner_group_id": ticket.runner.runner_group_id,
        "name_prefix": ticket.runner.name_prefix,
        "addresses": ticket.holder.addresses,
        "identity": ticket.holder.identity,
        "expires_at": ticket.expires_at,
    })
}
