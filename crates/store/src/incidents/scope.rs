//! Scope of an incident: its people, machine clients, open requests and runners.

use domain::{IncidentItemKind, IncidentItemState, IncidentKind};
use uuid::Uuid;

use super::{IncidentTarget, Incidents, NewIncidentItem};
use crate::Result;

/// Most people and machine clients of one issuer, and most runners, of one incident.
const MAX_ITEMS: i64 = 20_000;

/// Size of an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IncidentScope {
    /// Number of open jobs that make runners.
    pub open_jobs: i64,
    /// Number of configs that are not shredded.
    pub configs: i64,
    /// Number of runners that run no workflow job.
    pub idle_runners: i64,
    /// Number of runners that run a workflow job.
    pub busy_runners: i64,
}

/// A runner of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedRunner {
    /// Id of the runner.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Name of its team.
    pub team: String,
}

/// Columns of a target: team, person, machine client and issuer.
type Columns = (Option<Uuid>, Option<Uuid>, Option<Uuid>, Option<String>);

impl IncidentTarget {
    fn columns(&self) -> Columns {
        match self.kind {
            IncidentKind::Team => (self.id, None, None, None),
            IncidentKind::User => (None, self.id, None, None),
            IncidentKind::Client => (None, None, self.id, None),
            IncidentKind::Issuer => (None, None, None, Some(self.name.clone())),
        }
    }
}

impl Incidents<'_> {
    /// Returns the people and machine clients whose tokens an issuer makes.
    pub async fn requesters_of_issuer(&mut self, issuer: &str) -> Result<Vec<NewIncidentItem>> {
        let rows = sqlx::query!(
            r#"SELECT true AS "is_user!", id AS "id!", coalesce(email, subject, id::text) AS "name!" FROM users
                WHERE issuer = $1
             UNION ALL SELECT false, id, client_id FROM oauth_clients WHERE issuer = $1 AND deleted_at IS NULL
             LIMIT $2"#,
            issuer,
            MAX_ITEMS,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let item = rows.into_iter().map(|row| NewIncidentItem {
            kind: if row.is_user {
                IncidentItemKind::RequestsOfUser
            } else {
                IncidentItemKind::RequestsOfClient
            },
            subject: row.id,
            name: row.name,
            state: IncidentItemState::Waiting,
        });
        Ok(item.collect())
    }

    /// Returns the size of a target.
    pub async fn scope(&mut self, target: &IncidentTarget) -> Result<IncidentScope> {
        let (team, user, client, issuer) = target.columns();
        Ok(sqlx::query_as!(
            IncidentScope,
            r#"WITH people AS (SELECT id FROM users WHERE id = $2 OR issuer = $4),
                machines AS (SELECT id FROM oauth_clients WHERE id = $3 OR issuer = $4),
                live AS (SELECT busy FROM runners WHERE status NOT IN ('deleted', 'requested') AND (team_id = $1
                    OR owner_user IN (SELECT id FROM people) OR owner_client IN (SELECT id FROM machines))),
                asked AS (SELECT id, finished_at FROM jobs WHERE kind IN ('provision', 'register') AND (team_id = $1
                    OR requester_user IN (SELECT id FROM people) OR requester_client IN (SELECT id FROM machines)))
             SELECT (SELECT count(*) FROM asked WHERE finished_at IS NULL) AS "open_jobs!",
                (SELECT count(*) FROM credentials JOIN asked ON asked.id = job_id WHERE shredded_at IS NULL)
                    AS "configs!",
                (SELECT count(*) FROM live WHERE NOT busy) AS "idle_runners!",
                (SELECT count(*) FROM live WHERE busy) AS "busy_runners!""#,
            team,
            user,
            client,
            issuer,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Returns the runners of a target that are on GitHub and run a workflow job, or none, by id.
    pub async fn runners(&mut self, target: &IncidentTarget, busy: bool) -> Result<Vec<ScopedRunner>> {
        let (team, user, client, issuer) = target.columns();
        Ok(sqlx::query_as!(
            ScopedRunner,
            r#"SELECT runners.id, runners.name, teams.name AS team FROM runners JOIN teams ON teams.id = team_id
             WHERE status NOT IN ('deleted', 'requested') AND busy = $5 AND (team_id = $1
                OR owner_user IN (SELECT id FROM users WHERE id = $2 OR issuer = $4)
                OR owner_client IN (SELECT id FROM oauth_clients WHERE id = $3 OR issuer = $4))
             ORDER BY runners.id LIMIT $6"#,
            team,
            user,
            client,
            issuer,
            busy,
            MAX_ITEMS,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}
