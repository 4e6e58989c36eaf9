//! Acknowledgement of security events by admins.

use domain::SecurityEventId;

use super::{Audit, SecurityRow};
use crate::Result;

impl Audit<'_> {
    /// Writes an admin's acknowledgement of a security event. The first one stays. Returns whether this is the first, or
    /// `None` if there is no such event.
    pub async fn acknowledge(
        &mut self,
        id: SecurityEventId,
        by: &str,
        note: Option<&str>,
    ) -> Result<Option<bool>> {
        let done = sqlx::query!(
            "UPDATE security_events SET acknowledged_at = now(), acknowledged_by = $2, acknowledgement = $3
             WHERE id = $1 AND acknowledged_at IS NULL",
            id.uuid(),
            by,
            note,
        )
        .execute(&mut *self.0)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(Some(true));
        }
        let exists = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM security_events WHERE id = $1) AS "exists!""#,
            id.uuid()
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(exists.then_some(false))
    }

    /// Returns one security event, if it exists.
    pub async fn security_event(&mut self, id: SecurityEventId) -> Result<Option<SecurityRow>> {
        Ok(sqlx::query_as!(
            SecurityRow,
            r#"SELECT id, event_type, severity, user_identity, runner_id, runner_name, team_id, violation_data,
                action_taken, "timestamp", occurrences, last_at, acknowledged_at, acknowledged_by, acknowledgement
             FROM security_events WHERE id = $1"#,
            id.uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?)
    }
}
