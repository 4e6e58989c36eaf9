//! Machine clients.

mod candidates;

use chrono::{DateTime, Utc};
use domain::{ClaimRule, ClientId, MachineClient, Membership, TeamId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::candidates::Candidates;
use crate::{
    Listed, Page, Result, Search, StoreError,
    readable::{keep_readable, read_exactly, read_row, readable},
};

/// Machine client queries on one connection.
#[derive(Debug)]
pub struct Clients<'c>(pub(crate) &'c mut PgConnection);

/// A new machine client as an admin describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewClient {
    /// Client id at the identity provider, or a name for the rule.
    pub client_id: String,
    /// Issuer of its tokens.
    pub issuer: String,
    /// Team it acts for.
    pub team: TeamId,
    /// Description for people.
    pub description: Option<String>,
    /// Claim rule that selects its tokens, if they carry no client id.
    pub rule: Option<ClaimRule>,
}

/// Filter of a list of machine clients.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    /// Only clients of this team.
    pub team: Option<TeamId>,
    /// Only active clients.
    pub active_only: bool,
    /// Only clients with this text in client id or description.
    pub search: Search,
}

/// A machine client that is to be removed. No version of the program changes the meaning of these columns.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovedClient {
    /// Client id at the identity provider, or a name for the rule.
    pub client_id: String,
    /// Issuer of its tokens.
    pub issuer: String,
    /// Team it acts for.
    pub team_id: Uuid,
    /// Description for people.
    pub description: Option<String>,
    /// Claim rule as stored.
    pub rule: Option<Value>,
    /// Whether it may do anything.
    pub is_active: bool,
}

pub(crate) struct ClientRow {
    pub(crate) id: Uuid,
    pub(crate) client_id: String,
    pub(crate) issuer: String,
    pub(crate) team_id: Uuid,
    pub(crate) description: Option<String>,
    pub(crate) rule: Option<Value>,
    pub(crate) is_active: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    pub(crate) created_by: Option<String>,
}

impl TryFrom<ClientRow> for MachineClient {
    type Error = StoreError;

    fn try_from(row: ClientRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            client_id: row.client_id,
            issuer: row.issuer,
            team: row.team_id.into(),
            description: row.description,
            rule: row.rule.as_ref().map(read_exactly).transpose()?,
            is_active: row.is_active,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            created_by: row.created_by,
        })
    }
}

impl Clients<'_> {
    /// Returns the active clients (client id and issuer) whose rule was accepted by an earlier release although it pins
    /// no owner. Such a rule matches no token any more.
    pub async fn with_open_rules(&mut self) -> Result<Vec<(String, String)>> {
        let rows = sqlx::query!(
            r#"SELECT client_id, issuer, rule AS "rule!" FROM oauth_clients
             WHERE rule IS NOT NULL AND is_active AND deleted_at IS NULL"#
        )
        .fetch_all(&mut *self.0)
        .await?;
        let mut open = Vec::new();
        for row in rows {
            let rule: Option<ClaimRule> = keep_readable(read_exactly(&row.rule));
            if rule.is_some_and(|rule| !rule.pins_owner()) {
                open.push((row.client_id, row.issuer));
            }
        }
        Ok(open)
    }

    /// Records the use of a client, at most every five minutes. Returns its team.
    pub async fn record_use(&mut self, client: &MachineClient) -> Result<Membership> {
        let row = sqlx::query!(
            r#"SELECT name, is_active, coalesce($2::timestamptz < now() - interval '5 minutes', true) AS "stale!"
             FROM teams WHERE id = $1"#,
            client.team.uuid(),
            client.last_used_at,
        )
        .fetch_one(&mut *self.0)
        .await?;
        if row.stale {
            self.touch(client.id).await?;
        }
        Ok(Membership { id: client.team, name: row.name, is_active: row.is_active })
    }

    /// Writes the time of a client's last use. A request does not wait for a change of the row that takes long.
    async fn touch(&mut self, id: ClientId) -> Result<()> {
        sqlx::query!(
            "UPDATE oauth_clients SET last_used_at = now()
             WHERE id = (SELECT id FROM oauth_clients WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)",
            id.uuid()
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Adds a client; `by` is the identity of the admin who adds it.
    ///
    /// # Errors
    /// `Conflict` by `oauth_clients_live_key`.
    pub async fn insert(
        &mut self,
        id: ClientId,
        draft: &NewClient,
        by: Option<&str>,
    ) -> Result<MachineClient> {
        let rule =
            draft.rule.as_ref().map(serde_json::to_value).transpose().map_err(StoreError::inconsistent)?;
        let row = sqlx::query_as!(
            ClientRow,
            "INSERT INTO oauth_clients (id, client_id, issuer, team_id, description, rule, created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             RETURNING id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at, created_by",
            id.uuid(),
            draft.client_id,
            draft.issuer,
            draft.team.uuid(),
            draft.description,
            rule,
            by,
        )
        .fetch_one(&mut *self.0)
        .await?;
        row.try_into()
    }

    /// Returns the client, if it exists.
    pub async fn get(&mut self, id: ClientId) -> Result<Option<MachineClient>> {
        let row = sqlx::query_as!(
            ClientRow,
            "SELECT id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at,
                created_by
             FROM oauth_clients WHERE id = $1 AND deleted_at IS NULL",
            id.uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        read_row(row)
    }

    /// Returns whether a client has this id, a deleted one too.
    pub async fn exists(&mut self, id: ClientId) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM oauth_clients WHERE id = $1) AS "yes!""#,
            id.uuid()
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Returns the client and locks its row against changes until the end of the transaction.
    pub async fn lock(&mut self, id: ClientId) -> Result<Option<MachineClient>> {
        let row = sqlx::query_as!(
            ClientRow,
            "SELECT id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at,
                created_by
             FROM oauth_clients WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE",
            id.uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        read_row(row)
    }

    /// Returns the client with its rule as stored, and locks its row against changes until the end of the transaction. A
    /// client whose rule this version cannot read can be removed all the same.
    pub async fn lock_for_removal(&mut self, id: ClientId) -> Result<Option<RemovedClient>> {
        Ok(sqlx::query_as!(
            RemovedClient,
            "SELECT client_id, issuer, team_id, description, rule, is_active FROM oauth_clients
             WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE",
            id.uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?)
    }

    /// Returns the clients with this client id, of all issuers.
    pub async fn by_client_id(&mut self, client_id: &str) -> Result<Vec<MachineClient>> {
        let rows = sqlx::query_as!(
            ClientRow,
            "SELECT id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at,
                created_by
             FROM oauth_clients WHERE client_id = $1 AND deleted_at IS NULL ORDER BY issuer LIMIT 100",
            client_id,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(readable(rows))
    }

    /// Writes every column that an admin may change.
    pub async fn update(&mut self, client: &MachineClient) -> Result<()> {
        let rule =
            client.rule.as_ref().map(serde_json::to_value).transpose().map_err(StoreError::inconsistent)?;
        sqlx::query!(
            "UPDATE oauth_clients SET description = $2, rule = $3, is_active = $4 WHERE id = $1",
            client.id.uuid(),
            client.description,
            rule,
            client.is_active,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Marks a client as removed, so that no list shows it. The row stays because other rows refer to it.
    pub async fn remove(&mut self, id: ClientId) -> Result<()> {
        sqlx::query!(
            "UPDATE oauth_clients SET is_active = false, deleted_at = now() WHERE id = $1",
            id.uuid()
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns one page of clients.
    pub async fn list(&mut self, filter: &ClientFilter, page: Page) -> Result<Listed<MachineClient>> {
        let rows = sqlx::query_as!(
            ClientRow,
            "SELECT id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at,
                created_by
             FROM oauth_clients WHERE deleted_at IS NULL AND ($1::uuid IS NULL OR id < $1)
                AND ($4::uuid IS NULL OR team_id = $4) AND ($5 = false OR is_active)
                AND ($6::text IS NULL OR lower(client_id) LIKE lower($6) OR lower(description) LIKE lower($6))
             ORDER BY id DESC LIMIT $2 OFFSET $3",
            page.before,
            page.limit,
            page.offset,
            filter.team.map(Uuid::from),
            filter.active_only,
            filter.search.pattern(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM oauth_clients WHERE deleted_at IS NULL
                AND ($1::uuid IS NULL OR team_id = $1) AND ($2 = false OR is_active)
                AND ($3::text IS NULL OR lower(client_id) LIKE lower($3) OR lower(description) LIKE lower($3))"#,
            filter.team.map(Uuid::from),
            filter.active_only,
            filter.search.pattern(),
        )
        .fetch_one(&mut *self.0)
        .await?;
        let next = page.next(rows.len(), 0, rows.last().map(|last| last.id));
        Ok(Listed::counted(readable(rows), total, next))
    }
}
