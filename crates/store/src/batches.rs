//! Batches of people, teams, members and machine clients: what one application of files reads and writes.

use domain::{MachineClient, Team, TeamId, User, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, clients::ClientRow, teams::TeamRow, users::UserRow};

/// Batch queries on one connection.
#[derive(Debug)]
pub struct Batches<'c>(pub(crate) &'c mut PgConnection);

/// A row and the owner of the files it was applied from.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed<T> {
    /// The row.
    pub row: T,
    /// Owner; `None` if the row was made by hand.
    pub managed_by: Option<String>,
}

/// A membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// Team of the member.
    pub team: TeamId,
    /// The member.
    pub user: UserId,
    /// E-mail address or subject of the member.
    pub name: String,
    /// Owner; `None` if the member was added by hand.
    pub managed_by: Option<String>,
}

/// An active admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminRow {
    /// The admin.
    pub user: UserId,
    /// Whether the admin is bound to a principal; the others are invited.
    pub is_bound: bool,
}

impl Batches<'_> {
    /// Waits until the end of other applications and of changes of the last admin, and holds them off until the end of
    /// the transaction.
    pub async fn lock(&mut self) -> Result<()> {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('apply', 0))")
            .execute(&mut *self.0)
            .await?;
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('admins', 0))")
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Returns the teams with these names in lower case and all teams of the owner, locked against changes. Their
    /// counts and the labels of other teams are not read.
    pub async fn teams(&mut self, names: &[String], owner: &str) -> Result<Vec<Managed<Team>>> {
        let marks = sqlx::query!(
            "SELECT id, managed_by FROM teams WHERE lower(name) = ANY($1) OR managed_by = $2
             ORDER BY id FOR NO KEY UPDATE",
            names,
            owner,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let ids: Vec<Uuid> = marks.iter().map(|mark| mark.id).collect();
        let rows = sqlx::query_as!(
            TeamRow,
            r#"SELECT id, name, description, required_labels, optional_label_patterns, allowed_runner_group_ids,
                allowed_repositories, allowed_workflows, max_runners, weight, drift_response, installation, is_active,
                deactivation_reason, created_at, add_self_hosted, '{}'::text[] AS "required_by_others!", updated_at,
                0::int8 AS "member_count!", 0::int8 AS "active_runner_count!"
             FROM teams WHERE id = ANY($1) ORDER BY id"#,
            &ids,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let teams = rows
            .into_iter()
            .zip(marks)
            .map(|(row, mark)| Ok(Managed { row: Team::try_from(row)?, managed_by: mark.managed_by }));
        teams.collect()
    }

    /// Returns the people with these e-mail addresses in lower case and all people of the owner, locked against
    /// changes.
    pub async fn people(&mut self, emails: &[String], owner: &str) -> Result<Vec<Managed<User>>> {
        let marks = sqlx::query!(
            "SELECT id, managed_by FROM users WHERE lower(email) = ANY($1) OR managed_by = $2
             ORDER BY id FOR NO KEY UPDATE",
            emails,
            owner,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let ids: Vec<Uuid> = marks.iter().map(|mark| mark.id).collect();
        let rows = sqlx::query_as!(
            UserRow,
            "SELECT id, email, issuer, subject, display_name, is_admin, is_viewer, is_active, can_use_jit,
                can_use_registration_token, created_at, last_login_at
             FROM users WHERE id = ANY($1) ORDER BY id",
            &ids,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let people = rows.into_iter().zip(marks);
        Ok(people.map(|(row, mark)| Managed { row: row.into(), managed_by: mark.managed_by }).collect())
    }

    /// Returns the machine clients with these client ids, of all issuers, and all clients of the owner, locked against
    /// changes.
    pub async fn clients(
        &mut self,
        client_ids: &[String],
        owner: &str,
    ) -> Result<Vec<Managed<MachineClient>>> {
        let marks = sqlx::query!(
            "SELECT id, managed_by FROM oauth_clients
             WHERE deleted_at IS NULL AND (client_id = ANY($1) OR managed_by = $2) ORDER BY id FOR NO KEY UPDATE",
            client_ids,
            owner,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let ids: Vec<Uuid> = marks.iter().map(|mark| mark.id).collect();
        let rows = sqlx::query_as!(
            ClientRow,
            "SELECT id, client_id, issuer, team_id, description, rule, is_active, created_at, last_used_at, created_by
             FROM oauth_clients WHERE id = ANY($1) ORDER BY id",
            &ids,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let clients = rows.into_iter().zip(marks).map(|(row, mark)| {
            Ok(Managed { row: MachineClient::try_from(row)?, managed_by: mark.managed_by })
        });
        clients.collect()
    }

    /// Returns the members of these teams.
    pub async fn members(&mut self, teams: &[TeamId]) -> Result<Vec<MemberRow>> {
        let teams: Vec<Uuid> = teams.iter().map(|team| team.uuid()).collect();
        let rows = sqlx::query!(
            r#"SELECT team_id, user_id, coalesce(email, subject) AS "name!", team_members.managed_by
             FROM team_members JOIN users ON users.id = user_id
             WHERE team_id = ANY($1) ORDER BY team_id, user_id"#,
            &teams,
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

    /// Returns all active admins.
    pub async fn admins(&mut self) -> Result<Vec<AdminRow>> {
        let rows = sqlx::query!(
            r#"SELECT id, subject IS NOT NULL AS "is_bound!" FROM users WHERE is_admin AND is_active ORDER BY id"#
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(|row| AdminRow { user: row.id.into(), is_bound: row.is_bound }).collect())
    }

    /// Counts the active people.
    pub async fn count_active_people(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM users WHERE is_active"#)
            .fetch_one(&mut *self.0)
            .await?)
    }
}
