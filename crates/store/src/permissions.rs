//! What a requester may do right now.

use domain::{Access, Requester, TeamId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, page::owner_columns};

/// The permissions, on one connection.
#[derive(Debug)]
pub struct Permissions<'c>(pub(crate) &'c mut PgConnection);

impl Permissions<'_> {
    /// Returns the requester's access to the team; none if one of them does not exist.
    pub async fn access(&mut self, requester: Requester, team: TeamId) -> Result<Option<Access>> {
        match requester {
            Requester::User(id) => Ok(sqlx::query_as!(
                Access,
                r#"SELECT u.is_active, u.can_use_jit, u.can_use_registration_token, t.is_active AS team_is_active,
                    t.deactivation_reason, (u.is_admin OR EXISTS (SELECT FROM team_members
                        WHERE user_id = u.id AND team_id = t.id)) AS "belongs!"
                 FROM users u, teams t WHERE u.id = $1 AND t.id = $2"#,
                id.uuid(),
                team.uuid(),
            )
            .fetch_optional(&mut *self.0)
            .await?),
            Requester::Client(id) => Ok(sqlx::query_as!(
                Access,
                r#"SELECT c.is_active AND c.deleted_at IS NULL AS "is_active!", true AS "can_use_jit!",
                    false AS "can_use_registration_token!", t.is_active AS team_is_active, t.deactivation_reason,
                    c.team_id = t.id AS "belongs!"
                 FROM oauth_clients c, teams t WHERE c.id = $1 AND t.id = $2"#,
                id.uuid(),
                team.uuid(),
            )
            .fetch_optional(&mut *self.0)
            .await?),
        }
    }

    /// Whether the caller may still see what belongs to `team` and was asked for by `owner`.
    pub async fn may_see(
        &mut self,
        caller: Requester,
        team: Option<TeamId>,
        owner: Option<Requester>,
    ) -> Result<bool> {
        let (user, client) = owner_columns(Some(caller));
        let (team, own): (Option<Uuid>, bool) = (team.map(TeamId::uuid), owner == Some(caller));
        let sees = sqlx::query_scalar!(
            r#"SELECT is_active AND subject IS NOT NULL AND ($4 OR is_admin OR is_viewer OR EXISTS (
                    SELECT FROM team_members WHERE user_id = users.id AND team_id = $3)) AS "yes!"
                FROM users WHERE id = $1
             UNION ALL
             SELECT c.is_active AND c.deleted_at IS NULL AND t.is_active AND ($4 OR c.team_id = $3)
                FROM oauth_clients c JOIN teams t ON t.id = c.team_id WHERE c.id = $2"#,
            user,
            client,
            team,
            own,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(sees == Some(true))
    }
}
