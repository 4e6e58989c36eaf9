//! Machine clients that a token may belong to.

use domain::{ClientId, MachineClient, Membership, TokenFacts};

use super::{ClientRow, Clients};
use crate::{Result, StoreError, readable::keep_readable};

/// Most rules that are compared with one token.
const MAX_RULES: i64 = 256;

/// Machine clients that a token may belong to.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// The clients.
    pub clients: Vec<MachineClient>,
    uses: Vec<CandidateUse>,
}

/// What a request of a candidate needs besides the client.
#[derive(Clone, Debug)]
struct CandidateUse {
    client: ClientId,
    team: Membership,
    /// Whether the last use was recorded more than five minutes ago.
    is_stale: bool,
}

/// Returns the columns of a client of a row that has all of them, and possibly more.
macro_rules! client_row {
    ($row:ident) => {
        ClientRow {
            id: $row.id,
            client_id: $row.client_id,
            issuer: $row.issuer,
            team_id: $row.team_id,
            description: $row.description,
            rule: $row.rule,
            is_active: $row.is_active,
            created_at: $row.created_at,
            last_used_at: $row.last_used_at,
            created_by: $row.created_by,
        }
    };
}

impl Clients<'_> {
    /// Returns the clients that a token may belong to: named by one of its client ids, or with a rule found by one of
    /// its keys. Returns no client with a rule if more than `MAX_RULES` may match, or if one of them cannot be read.
    /// Leaving some out could make a token that matches two rules appear to match one.
    pub async fn candidates(&mut self, facts: &TokenFacts) -> Result<Candidates> {
        let rows = sqlx::query!(
            r#"SELECT found.id AS "id!", found.client_id AS "client_id!", found.issuer AS "issuer!",
                found.team_id AS "team_id!", found.description, found.rule, found.created_at AS "created_at!",
                found.last_used_at, found.created_by, teams.name AS team_name, teams.is_active AS team_is_active,
                found.is_active AND NOT EXISTS (SELECT FROM blocked_issuers WHERE issuer = $1) AS "is_active!",
                coalesce(found.last_used_at < now() - interval '5 minutes', true) AS "is_stale!"
             FROM (
                SELECT * FROM oauth_clients WHERE issuer = $1 AND client_id = ANY($2) AND rule IS NULL
                    AND deleted_at IS NULL
                UNION ALL
                (SELECT * FROM oauth_clients WHERE issuer = $1 AND rule IS NOT NULL AND claim_rule_key(rule) = ANY($3)
                    AND deleted_at IS NULL
                    AND starts_with($4, substring(rule ->> 'subject' from '^[^*?]*'))
                    AND $6::jsonb @> coalesce(rule -> 'claims', '{}')
                ORDER BY id LIMIT $5)
             ) AS found JOIN teams ON teams.id = found.team_id"#,
            facts.issuer,
            &facts.client_ids(),
            &facts.rule_keys(),
            facts.subject,
            MAX_RULES + 1,
            facts.storable_claims(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let found = rows.len();
        let mut candidates = Candidates::default();
        for row in rows {
            let team =
                Membership { id: row.team_id.into(), name: row.team_name, is_active: row.team_is_active };
            let is_stale = row.is_stale;
            if let Some(client) = keep_readable(MachineClient::try_from(client_row!(row))) {
                candidates.uses.push(CandidateUse { client: client.id, team, is_stale });
                candidates.clients.push(client);
            }
        }
        let clients = &mut candidates.clients;
        if clients.len() < found {
            // An unreadable rule may match the token too, and a token that matches two rules belongs to no client.
            clients.retain(|client| client.rule.is_none());
        }
        let rules = clients.iter().filter(|client| client.rule.is_some()).count();
        if i64::try_from(rules).is_ok_and(|rules| rules > MAX_RULES) {
            tracing::warn!(
                issuer = facts.issuer,
                "more than {MAX_RULES} claim rules may fit one token; none counts"
            );
            clients.retain(|client| client.rule.is_none());
        }
        Ok(candidates)
    }

    /// Records the use of one of the candidates, at most every five minutes. Returns its team.
    pub async fn record_candidate(
        &mut self,
        candidates: &Candidates,
        client: &MachineClient,
    ) -> Result<Membership> {
        let of_client = candidates.uses.iter().find(|of| of.client == client.id);
        let CandidateUse { team, is_stale, .. } =
            of_client.ok_or_else(|| StoreError::inconsistent("a machine client that is no candidate"))?;
        if *is_stale {
            self.touch(client.id).await?;
        }
        Ok(team.clone())
    }
}
