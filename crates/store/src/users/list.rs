//! Lists of users.

use domain::User;

use super::{UserRow, Users, user_rows};
use crate::{Listed, Page, Result, Search};

/// Filter of a list of users.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Only active users.
    pub active_only: bool,
    /// Only users with this text in e-mail address, display name or subject.
    pub search: Search,
}

impl Users<'_> {
    /// Returns one page of users.
    pub async fn list(&mut self, filter: &UserFilter, page: Page) -> Result<Listed<User>> {
        let rows = user_rows!(
            "SELECT",
            "FROM users WHERE ($4 = false OR is_active) AND ($1::uuid IS NULL OR id < $1)
                AND ($5::text IS NULL OR lower(email) LIKE lower($5) OR lower(display_name) LIKE lower($5) OR lower(subject) LIKE lower($5))
             ORDER BY id DESC LIMIT $2 OFFSET $3",
            page.before,
            page.limit,
            page.offset,
            filter.active_only,
            filter.search.pattern(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM users WHERE ($1 = false OR is_active)
                AND ($2::text IS NULL OR lower(email) LIKE lower($2) OR lower(display_name) LIKE lower($2) OR lower(subject) LIKE lower($2))"#,
            filter.active_only,
            filter.search.pattern(),
        )
        .fetch_one(&mut *self.0)
        .await?;
        let next = page.next(rows.len(), 0, rows.last().map(|last| last.id));
        Ok(Listed::counted(rows.into_iter().map(User::from).collect(), total, next))
    }
}
