//! Machine clients.

use chrono::{DateTime, Utc};
use domain::{ClaimRule, ClientId, MachineClient, Membership, TeamId, TokenFacts};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Listed, Page, Result, StoreError};

/// The machine clients, on one connection.
#[derive(Debug)]
pub struct Clients<'c>(pub(crate) &'c mut PgConnection);

/// What an admin writes about a machine client.
#[derive(Clone, Debug, PartialEq)]
pub struct NewClient {
    /// The identity provider's id for it, or a name for its rule.
    pub client_id: String,
    /// The issuer whose tokens count.
    pub issuer: String,
    /// The team it acts for.
    pub team: TeamId,
    /// What it is.
    pub description: Option<String>,
    /// Which tokens are meant, where they carry no client id.
    pub rule: Option<ClaimRule>,
}

struct ClientRow {
    id: Uuid,
    client_id: String,
    issuer: String,
    team_id: Uuid,
    description: Option<String>,
    rule: Option<Value>,
    is_active: bool,
    created_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
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
            rule: row.rule.map(serde_json::from_value).transpose().map_err(StoreError::inconsistent)?,
            is_active: row.is_active,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
        })
    }
}

impl Clients<'_> {
    /// The clients a token may stand for: named by one of its client ids, or with a rule (at most 1,000).
    pub async fn candidates(&mut self, facts: &TokenFacts) -> Result<Vec<MachineClient>> {
        let rows = sqlx::query_as!(
            ClientRow,
            "SELECT id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at
             FROM oauth_clients WHERE issuer = $1 AND (client_id = ANY($2) OR rule IS NOT NULL) LIMIT 1000",
            facts.issuer,
            &facts.client_ids(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(MachineClient::try_from).collect()
    }

    /// Notes that a client was used (at most every five minutes), and names its team.
    pub async fn used(&mut self, client: &MachineClient) -> Result<Membership> {
        let row = sqlx::query!(
            r#"SELECT name, coalesce($2::timestamptz < now() - interval '5 minutes', true) AS "stale!"
             FROM teams WHERE id = $1"#,
            client.team.uuid(),
            client.last_used_at,
        )
        .fetch_one(&mut *self.0)
        .await?;
        if row.stale {
            sqlx::query!("UPDATE oauth_clients SET last_used_at = now() WHERE id = $1", client.id.uuid())
                .execute(&mut *self.0)
                .await?;
        }
        Ok(Membership { id: client.team, name: row.name })
    }

    /// Adds a client.
    ///
    /// # Errors
    /// `Conflict` by `oauth_clients_client_key`.
    pub async fn insert(&mut self, id: ClientId, draft: &NewClient) -> Result<MachineClient> {
        let rule =
            draft.rule.as_ref().map(serde_json::to_value).transpose().map_err(StoreError::inconsistent)?;
        let row = sqlx::query_as!(
            ClientRow,
            "INSERT INTO oauth_clients (id, client_id, issuer, team_id, description, rule)
             VALUES ($1, $2, $3, $4, $5, $6)
             RETURNING id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at",
            id.uuid(),
            draft.client_id,
            draft.issuer,
            draft.team.uuid(),
            draft.description,
            rule,
        )
        .fetch_one(&mut *self.0)
        .await?;
        row.try_into()
    }

    /// All clients.
    pub async fn list(&mut self, page: Page) -> Result<Listed<MachineClient>> {
        let rows = sqlx::query_as!(
            ClientRow,
            "SELECT id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at
             FROM oauth_clients WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
            page.before,
            page.limit,
            page.offset,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let total = sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM oauth_clients"#)
            .fetch_one(&mut *self.0)
            .await?;
        Ok(Listed { items: rows.into_iter().map(MachineClient::try_from).collect::<Result<_>>()?, total })
    }
}
