//! Current permissions of requesters, which are read again before GitHub is asked.

use domain::{Access, Membership, Requester, TeamId};
use sqlx::PgConnection;

use crate::{Result, page::owner_columns};

/// Permission queries on one connection.
#[derive(Debug)]
pub struct Permissions<'c>(pub(crate) &'c mut PgConnection);

impl Permissions<'_> {
    /// Returns the requester's access to the team, or `None` if one of them does not exist.
    pub async fn access(&mut self, requester: Requester, team: TeamId) -> Result<Option<Access>> {
        match requester {
            Requester::User(id) => Ok(sqlx::query_as!(
                Access,
                r#"SELECT u.is_active AND NOT EXISTS (SELECT FROM blocked_issuers WHERE issuer = u.issuer)
                        AS "is_active!", u.is_viewer AND NOT u.is_admin AS "only_reads!", u.can_use_jit, u.can_use_registration_token, t.is_active AS team_is_active,
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
                r#"SELECT c.is_active AND c.deleted_at IS NULL
                        AND NOT EXISTS (SELECT FROM blocked_issuers WHERE issuer = c.issuer) AS "is_active!", false AS "only_reads!", true AS "can_use_jit!",
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

    /// Returns the teams the requester belongs to, by name.
    pub async fn teams(&mut self, requester: Requester) -> Result<Vec<Membership>> {
        let (user, client) = owner_columns(Some(requester));
        let rows = sqlx::query!(
            "SELECT id, name, is_active FROM teams
             WHERE id IN (SELECT team_id FROM team_members WHERE user_id = $1
                UNION ALL SELECT team_id FROM oauth_clients WHERE oauth_clients.id = $2)
             ORDER BY lower(name), id",
            user,
            client,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let teams = rows.into_iter().map(|row| Membership {
            id: row.id.into(),
            name: row.name,
            is_active: row.is_active,
        });
        Ok(teams.collect())
    }

    /// Returns the names of up to `limit` active admins, those who signed in last first.
    pub async fn admin_names(&mut self, limit: i64) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar!(
            r#"SELECT coalesce(display_name, email, subject) AS "name!" FROM users
             WHERE is_admin AND is_active ORDER BY last_login_at DESC NULLS LAST, id LIMIT $1"#,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}
