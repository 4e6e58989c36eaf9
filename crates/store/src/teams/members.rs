//! Members of teams.

use chrono::{DateTime, Utc};
use domain::{TeamId, User, UserId};

use super::Teams;
use crate::{Listed, Page, Result, users::user_of};

/// A member of a team.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamMember {
    /// The user.
    pub user: User,
    /// Time at which the user joined the team.
    pub joined_at: DateTime<Utc>,
}

impl Teams<'_> {
    /// Adds a member. Returns `false` if the user was one already.
    pub async fn add_member(&mut self, team: TeamId, user: UserId) -> Result<bool> {
        let done = sqlx::query!(
            "INSERT INTO team_members (team_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            team.uuid(),
            user.uuid()
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes a member. Returns `false` if the user was none.
    pub async fn remove_member(&mut self, team: TeamId, user: UserId) -> Result<bool> {
        let done = sqlx::query!(
            "DELETE FROM team_members WHERE team_id = $1 AND user_id = $2",
            team.uuid(),
            user.uuid()
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Returns the names of a user's teams, at most 100.
    pub async fn names_of(&mut self, user: UserId) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar!(
            "SELECT name FROM team_members JOIN teams ON teams.id = team_id WHERE user_id = $1 ORDER BY name LIMIT 100",
            user.uuid()
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns the member, if the user is one.
    pub async fn member(&mut self, team: TeamId, user: UserId) -> Result<Option<TeamMember>> {
        let page = Page { limit: 1, offset: 0, before: None };
        Ok(self.member_rows(team, Some(user), page).await?.pop())
    }

    /// Returns one page of the members of a team.
    pub async fn members(&mut self, team: TeamId, page: Page) -> Result<Listed<TeamMember>> {
        let items = self.member_rows(team, None, page).await?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM team_members WHERE team_id = $1"#,
            team.uuid()
        )
        .fetch_one(&mut *self.0)
        .await?;
        let next = page.next(items.len(), 0, items.last().map(|last| last.user.id.uuid()));
        Ok(Listed::counted(items, total, next))
    }

    async fn member_rows(
        &mut self,
        team: TeamId,
        user: Option<UserId>,
        page: Page,
    ) -> Result<Vec<TeamMember>> {
        let rows = sqlx::query!(
            "SELECT id, email, issuer, subject, display_name, is_admin, is_viewer, is_active, can_use_jit,
                can_use_registration_token, created_at, last_login_at, joined_at
             FROM users JOIN team_members ON user_id = id
             WHERE team_id = $1 AND ($5::uuid IS NULL OR id = $5) AND ($2::uuid IS NULL OR id < $2)
             ORDER BY id DESC LIMIT $3 OFFSET $4",
            team.uuid(),
            page.before,
            page.limit,
            page.offset,
            user.map(UserId::uuid),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let member = rows.into_iter().map(|row| TeamMember { joined_at: row.joined_at, user: user_of!(row) });
        Ok(member.collect())
    }
}
