//! All people, teams, members and machine clients, for an export as files.

use domain::{MachineClient, Team, User};

use crate::{
    Batches, MemberRow, Result, clients::ClientRow, readable::readable, teams::TeamRow, users::UserRow,
};

impl Batches<'_> {
    /// Returns up to `limit` teams by name, without their counts and the labels of other teams.
    pub async fn every_team(&mut self, limit: i64) -> Result<Vec<Team>> {
        let rows = sqlx::query_as!(
            TeamRow,
            r#"SELECT id, name, description, required_labels, optional_label_patterns, allowed_runner_group_ids,
                allowed_repositories, allowed_workflows, max_runners, weight, drift_response, installation, is_active,
                deactivation_reason, created_at, add_self_hosted, '{}'::text[] AS "required_by_others!", updated_at,
                0::int8 AS "member_count!", 0::int8 AS "active_runner_count!"
             FROM teams ORDER BY lower(name) LIMIT $1"#,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(readable(rows))
    }

    /// Returns up to `limit` people by e-mail address; those without one come last.
    pub async fn every_person(&mut self, limit: i64) -> Result<Vec<User>> {
        let rows = sqlx::query_as!(
            UserRow,
            "SELECT id, email, issuer, subject, display_name, is_admin, is_viewer, is_active, can_use_jit,
                can_use_registration_token, created_at, last_login_at
             FROM users ORDER BY lower(email) NULLS LAST, id LIMIT $1",
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Returns up to `limit` machine clients by client id.
    pub async fn every_client(&mut self, limit: i64) -> Result<Vec<MachineClient>> {
        let rows = sqlx::query_as!(
            ClientRow,
            "SELECT id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at, created_by
             FROM oauth_clients WHERE deleted_at IS NULL ORDER BY client_id, issuer LIMIT $1",
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(readable(rows))
    }

    /// Returns up to `limit` members of all teams by e-mail address.
    pub async fn every_member(&mut self, limit: i64) -> Result<Vec<MemberRow>> {
        let rows = sqlx::query!(
            r#"SELECT team_id, user_id, coalesce(email, subject) AS "name!", team_members.managed_by
             FROM team_members JOIN users ON users.id = user_id ORDER BY lower(email), user_id LIMIT $1"#,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let members = rows.into_iter().map(|row| MemberRow {
            team: row.team_id.into(),
            user: row.user_id.into(),
            name: row.name,
            managed_by: row.managed_by,
        });
        Ok(members.collect())
    }
}
