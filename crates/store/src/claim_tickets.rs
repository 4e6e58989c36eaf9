//! Claim tickets: stored by the hash of their text, redeemed under the lock of their row.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ClaimTicket, JobId, Principal, Requester, RunnerId, TeamId, TicketHolder, TicketId, TicketRunner,
    TicketState, TicketUse,
};
use serde_json::Value;
use sqlx::{PgConnection, query_scalar};
use uuid::Uuid;

use crate::{
    Listed, Page, Result, StoreError, Visible,
    jobs::seconds,
    page::{owner_columns, visible_ids},
    readable::{read_row, readable},
};

/// Days after its end for which a ticket stays listed.
const KEPT_DAYS: i32 = 7;

/// Queries of claim tickets on one connection.
#[derive(Debug)]
pub struct ClaimTickets<'c>(pub(crate) &'c mut PgConnection);

/// A ticket to store.
#[derive(Clone, Debug)]
pub struct NewClaimTicket<'t> {
    /// Id of the ticket.
    pub id: TicketId,
    /// Hash of its text.
    pub secret_hash: &'t [u8],
    /// Team of the runner.
    pub team: TeamId,
    /// Person or machine client who asked for it.
    pub requester: Requester,
    /// Identity of the requester.
    pub identity: &'t str,
    /// Issuer and subject of the requester's token.
    pub principal: &'t Principal,
    /// The promised runner.
    pub runner: &'t TicketRunner,
    /// Machines that may redeem it.
    pub holder: &'t TicketHolder,
    /// Time for which it can be redeemed.
    pub life: TimeDelta,
}

/// The use of a ticket, to record.
#[derive(Clone, Debug)]
pub struct NewTicketUse<'t> {
    /// Hash of the idempotency key of the redemption.
    pub key: &'t [u8],
    /// Address of the machine.
    pub address: Option<String>,
    /// Issuer and subject of the machine's token, if the ticket asks for one.
    pub identity: Option<&'t str>,
    /// Job that creates the runner.
    pub job: JobId,
    /// The runner.
    pub runner: RunnerId,
}

/// Filter of a list of tickets.
#[derive(Clone, Copy, Debug, Default)]
pub struct TicketFilter {
    /// Only in this state.
    pub state: Option<TicketState>,
    /// Only of this team.
    pub team: Option<TeamId>,
}

/// Tickets whose requester or team has lost its access.
#[derive(Clone, Copy, Debug, Default)]
pub struct TicketsOf {
    /// Only of this requester.
    pub requester: Option<Requester>,
    /// Only of this team.
    pub team: Option<TeamId>,
}

struct TicketRow {
    id: Uuid,
    team_id: Uuid,
    requester_user: Option<Uuid>,
    requester_client: Option<Uuid>,
    identity: String,
    issuer: String,
    subject: String,
    runner: Value,
    holder: Value,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    redeemed_at: Option<DateTime<Utc>>,
    redeem_key: Option<Vec<u8>>,
    redeemed_from: Option<String>,
    redeemed_by: Option<String>,
    job_id: Option<Uuid>,
    runner_id: Option<Uuid>,
    now: DateTime<Utc>,
}

impl TryFrom<TicketRow> for ClaimTicket {
    type Error = StoreError;

    fn try_from(row: TicketRow) -> Result<Self> {
        let requester =
            Requester::from_columns(row.requester_user.map(Into::into), row.requester_client.map(Into::into));
        let used = match (row.redeemed_at, row.redeem_key, row.job_id, row.runner_id) {
            (Some(at), Some(key), Some(job), Some(runner)) => Some(TicketUse {
                at,
                key,
                address: row.redeemed_from,
                identity: row.redeemed_by,
                job: job.into(),
                runner: runner.into(),
            }),
            _ => None,
        };
        Ok(Self {
            id: row.id.into(),
            team: row.team_id.into(),
            requester: requester.ok_or_else(|| StoreError::inconsistent("a ticket without a requester"))?,
            identity: row.identity,
            principal: Principal::new(row.issuer, row.subject),
            runner: serde_json::from_value(row.runner).map_err(StoreError::inconsistent)?,
            holder: serde_json::from_value(row.holder).map_err(StoreError::inconsistent)?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            used,
            now: row.now,
        })
    }
}

/// Calls `query_as!` for whole tickets; the arguments follow the columns.
macro_rules! ticket_rows {
    ($($tail:tt)*) => {
        sqlx::query_as!(
            TicketRow,
            r#"SELECT id, team_id, requester_user, requester_client, identity, issuer, subject, runner, holder, created_at,
                expires_at, revoked_at, redeemed_at, redeem_key, redeemed_from, redeemed_by, job_id, runner_id,
                clock_timestamp() AS "now!" FROM claim_tickets "# + $($tail)*
        )
    };
}

/// Calls a query macro with one page of the tickets that a caller may see and that fit the filter.
macro_rules! visible_tickets {
    ($query:ident($($first:tt)*), $order:tt, $tail:tt, ($visible:expr, $filter:expr, $page:expr) $(,)?) => {
        visible_ids!(
            $query($($first)*),
            "claim_tickets",
            "requester_user = $2 OR requester_client = $3",
            "false",
            "($5::text IS NULL OR $5 = CASE WHEN redeemed_at IS NOT NULL THEN 'redeemed' WHEN revoked_at IS NOT NULL
                THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'open' END)
                AND ($6::uuid IS NULL OR team_id = $6) AND ($7::uuid IS NULL OR id < $7)",
            ($order, "$8", "$9"),
            $tail,
            $visible.all,
            $visible.user,
            $visible.client,
            &$visible.teams,
            $filter.state.map(TicketState::as_str),
            $filter.team.map(TeamId::uuid),
            $page.before,
            $page.limit,
            $page.offset,
        )
    };
}

impl ClaimTickets<'_> {
    /// Stores a ticket and returns it.
    pub async fn insert(&mut self, new: &NewClaimTicket<'_>) -> Result<ClaimTicket> {
        let (user, client) = owner_columns(Some(new.requester));
        let json =
            |value: std::result::Result<Value, serde_json::Error>| value.map_err(StoreError::inconsistent);
        sqlx::query!(
            "INSERT INTO claim_tickets (id, secret_hash, team_id, requester_user, requester_client, identity, issuer,
                subject, runner, holder, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11))",
            new.id.uuid(),
            new.secret_hash,
            new.team.uuid(),
            user,
            client,
            new.identity,
            new.principal.issuer,
            new.principal.subject,
            json(serde_json::to_value(new.runner))?,
            json(serde_json::to_value(new.holder))?,
            seconds(new.life),
        )
        .execute(&mut *self.0)
        .await?;
        self.get(new.id).await?.ok_or_else(|| StoreError::inconsistent("a ticket that was just stored"))
    }

    /// Returns a ticket.
    pub async fn get(&mut self, id: TicketId) -> Result<Option<ClaimTicket>> {
        read_row(ticket_rows!("WHERE id = $1", id.uuid()).fetch_optional(&mut *self.0).await?)
    }

    /// Returns the ticket with this hash.
    pub async fn by_secret(&mut self, hash: &[u8]) -> Result<Option<ClaimTicket>> {
        read_row(ticket_rows!("WHERE secret_hash = $1", hash).fetch_optional(&mut *self.0).await?)
    }

    /// Returns a ticket and locks it until the transaction ends. Concurrent redemptions and revocations wait.
    pub async fn lock(&mut self, id: TicketId) -> Result<Option<ClaimTicket>> {
        read_row(ticket_rows!("WHERE id = $1 FOR UPDATE", id.uuid()).fetch_optional(&mut *self.0).await?)
    }

    /// Returns one page of the tickets that the caller may see, newest first.
    pub async fn list(
        &mut self,
        visible: &Visible,
        filter: &TicketFilter,
        page: Page,
    ) -> Result<Listed<ClaimTicket>> {
        let rows = visible_tickets!(
            ticket_rows("WHERE id IN (" +),
            " ORDER BY id DESC",
            ") ORDER BY id DESC",
            (visible, filter, page),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let counted = visible_tickets!(
            query_scalar(r#"SELECT count(*) AS "n!" FROM ("# +),
            "",
            ") counted",
            (visible, filter, Page::COUNTED),
        )
        .fetch_one(&mut *self.0)
        .await?;
        let next = page.next(rows.len(), 0, rows.last().map(|last| last.id));
        Ok(Listed::bounded(readable(rows), counted, next))
    }

    /// Returns how many tickets of the team can be redeemed.
    pub async fn count_open(&mut self, team: TeamId) -> Result<i64> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM claim_tickets
             WHERE team_id = $1 AND redeemed_at IS NULL AND revoked_at IS NULL AND expires_at > now()"#,
            team.uuid(),
        );
        Ok(count.fetch_one(&mut *self.0).await?)
    }

    /// Records the use of a ticket whose row is locked.
    pub async fn record_use(&mut self, id: TicketId, used: &NewTicketUse<'_>) -> Result<()> {
        sqlx::query!(
            "UPDATE claim_tickets SET redeemed_at = now(), redeem_key = $2, redeemed_from = $3, redeemed_by = $4,
                job_id = $5, runner_id = $6 WHERE id = $1",
            id.uuid(),
            used.key,
            used.address,
            used.identity,
            used.job.uuid(),
            used.runner.uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Revokes a ticket. Returns whether it could still be redeemed.
    pub async fn revoke(&mut self, id: TicketId) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE claim_tickets SET revoked_at = now()
             WHERE id = $1 AND redeemed_at IS NULL AND revoked_at IS NULL AND expires_at > now()",
            id.uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes the open tickets that match every given part. Returns how many.
    pub async fn revoke_of(&mut self, whose: TicketsOf) -> Result<u64> {
        let (user, client) = owner_columns(whose.requester);
        let done = sqlx::query!(
            "UPDATE claim_tickets SET revoked_at = now()
             WHERE id IN (SELECT id FROM claim_tickets
                WHERE redeemed_at IS NULL AND revoked_at IS NULL AND expires_at > now()
                    AND ($1::uuid IS NULL OR requester_user = $1) AND ($2::uuid IS NULL OR requester_client = $2)
                    AND ($3::uuid IS NULL OR team_id = $3) ORDER BY id FOR UPDATE)",
            user,
            client,
            whose.team.map(TeamId::uuid),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Deletes up to `most` tickets that ended seven days ago. Returns how many.
    pub async fn forget(&mut self, most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM claim_tickets WHERE id IN (SELECT id FROM claim_tickets
                WHERE expires_at < now() - make_interval(days => $2) ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
            most,
            KEPT_DAYS,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}
