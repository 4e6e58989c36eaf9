//! Acknowledgement of security events.

use domain::{Problem, SecurityEventId};
use serde_json::json;
use store::SecurityRow;

use crate::{Administrator, Operations, Result, validate::check_reason};

impl Operations<'_> {
    /// Acknowledges a security event: an admin has seen it and says so, with a note. The first acknowledgement stays; a
    /// later one changes nothing and writes no audit row. Returns the event.
    ///
    /// # Errors
    /// `not_found`; `validation_failed` for the note; database errors.
    pub async fn acknowledge_event(
        &self,
        admin: &Administrator,
        id: SecurityEventId,
        note: Option<&str>,
    ) -> Result<SecurityRow> {
        check_reason("/note", note)?;
        let unknown = || Problem::not_found("security event");
        let mut tx = self.store.begin().await?;
        let first = tx.audit().acknowledge(id, admin.shown_name(), note).await?.ok_or_else(unknown)?;
        let event = tx.audit().security_event(id).await?.ok_or_else(unknown)?;
        if first {
            let details = json!({ "event": id, "event_type": event.event_type, "note": note });
            let team = event.team_id.map(Into::into);
            tx.audit().write(&admin.record("security.acknowledge", team, details)).await?;
        }
        tx.commit().await?;
        Ok(event)
    }
}
