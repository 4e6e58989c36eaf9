//! Redemption of claim tickets: the ticket, its requester's access and the new runner in one transaction.

use domain::{
    AuditEntry, Caller, ClaimTicket, Job, Origin, Problem, ProblemCode, SealingKey, TicketClaim, TicketId,
    TicketSecret, TokenFacts, redemption_key,
};
use serde_json::json;
use store::{Conn, NewTicketUse, Tx};

use crate::{
    Actor, Operations, ProvisionCommand, ProvisionRules, Registration, Result, runners::caller_of_requester,
};

/// A machine that redeems a ticket.
#[derive(Clone, Copy, Debug)]
pub struct Redeemer<'r> {
    /// Text of the ticket.
    pub secret: &'r TicketSecret,
    /// Idempotency key. The same key gets the same runner again.
    pub key: &'r str,
    /// The machine's request.
    pub origin: &'r Origin,
    /// The machine's verified token, if it sent one.
    pub token: Option<&'r TokenFacts>,
    /// Key to which the config is sealed.
    pub sealing_key: Option<SealingKey>,
}

/// An accepted redemption.
#[derive(Clone, Debug)]
pub struct Redeemed {
    /// The ticket's requester, in whose name the runner is made.
    pub caller: Caller,
    /// The ticket.
    pub ticket: TicketId,
    /// The job that makes the runner.
    pub job: Job,
    /// Seconds until the job is expected to start, if it is new.
    pub starts_in: Option<u64>,
}

/// Use of a ticket in the transaction that makes its runner.
#[derive(Clone, Debug)]
pub(crate) struct Redemption {
    ticket: TicketId,
    key: Vec<u8>,
    identity: Option<String>,
}

/// Returns the refusal of a ticket that gives this machine nothing. It is one answer for every reason, so that it
/// reveals nothing about tickets.
pub fn ticket_refused() -> Problem {
    let detail = "This ticket is unknown, used, expired or revoked, or it is not for this machine.";
    Problem::new(ProblemCode::TicketRefused, detail)
}

impl Operations<'_> {
    /// Redeems a ticket: makes the promised runner in the name of the ticket's requester, exactly once. A repeated
    /// request with an equal key gets the same job for an hour.
    ///
    /// # Errors
    /// `ticket_refused`; the refusals of the requester's own request for the runner, after which the ticket can be tried
    /// again; database errors.
    pub async fn redeem_ticket(
        &self,
        rules: &ProvisionRules<'_>,
        redeemer: &Redeemer<'_>,
    ) -> Result<Redeemed> {
        let mut conn = self.store.conn().await?;
        let key = redemption_key(redeemer.key);
        let found = conn.claim_tickets().by_secret(&redeemer.secret.hash()).await?;
        let fitting = found.filter(|ticket| {
            ticket.holder.admits(redeemer.origin.ip, redeemer.token)
                && ticket.claim(&key) != TicketClaim::Nothing
        });
        let ticket = fitting.ok_or_else(ticket_refused)?;
        let caller = current_caller(&mut conn, &ticket).await?;
        drop(conn);
        let identity = redeemer.token.filter(|_| ticket.holder.identity.is_some());
        let identity = identity.map(|token| format!("{}#{}", token.issuer, token.subject));
        let by = Actor { caller: &caller, origin: redeemer.origin };
        let command = ProvisionCommand {
            redemption: Some(Redemption { ticket: ticket.id, key, identity }),
            ..ProvisionCommand::new(by, Registration::Jit, ticket.runner.request(), Some(ticket.team))
        };
        let command = command.sealed_to(redeemer.sealing_key);
        let (job, starts_in) = self.provision(rules, &command).await?;
        Ok(Redeemed { caller, ticket: ticket.id, job, starts_in })
    }
}

/// Returns the requester of a ticket as a caller, with the rights that the rows give now.
async fn current_caller(conn: &mut Conn, ticket: &ClaimTicket) -> Result<Caller> {
    let blocked = conn.incidents().is_blocked(&ticket.principal.issuer).await?;
    let current = caller_of_requester(conn, ticket.requester).await?;
    let caller = current.filter(|_| !blocked).ok_or_else(Problem::requester_inactive)?;
    let caller = caller.admit()?;
    // A person bound to another principal meanwhile is another person for this ticket.
    if caller.requester.user().is_some() && caller.principal != ticket.principal {
        return Err(Problem::requester_inactive().into());
    }
    Ok(Caller { principal: ticket.principal.clone(), ..caller })
}

impl Redemption {
    /// Locks the ticket. Returns the job of an earlier request with an equal key, or `None` if this one makes it.
    pub(crate) async fn lock(&self, tx: &mut Tx) -> Result<Option<Job>> {
        let ticket = tx.claim_tickets().lock(self.ticket).await?.ok_or_else(ticket_refused)?;
        match ticket.claim(&self.key) {
            TicketClaim::New => Ok(None),
            TicketClaim::Again(job) => Ok(Some(tx.jobs().get(job).await?.ok_or_else(ticket_refused)?)),
            TicketClaim::Nothing => Err(ticket_refused().into()),
        }
    }

    /// Records the use of the locked ticket for this job.
    pub(crate) async fn record(&self, tx: &mut Tx, by: &Actor<'_>, job: &Job) -> Result<()> {
        let runner = job.runner.ok_or_else(ticket_refused)?;
        let used = NewTicketUse {
            key: &self.key,
            address: by.origin.ip.map(|ip| ip.to_string()),
            identity: self.identity.as_deref(),
            job: job.id,
            runner,
        };
        tx.claim_tickets().record_use(self.ticket, &used).await?;
        let data = json!({ "ticket_id": self.ticket, "redeemed_by": self.identity });
        let entry = AuditEntry { data, ..by.entry("ticket.redeem").about_job(job) };
        Ok(tx.audit().write(&entry).await?)
    }
}
