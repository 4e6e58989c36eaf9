//! Messages about rows of the audit chains, as sinks receive them.

use chrono::{DateTime, Utc};
use domain::{ActionTaken, AuditChain, CloudEvent, EventFacts};
use serde_json::{Value, json};
use store::{AuditRow, Conn, SecurityRow, StoreError};
use uuid::Uuid;

/// Most bytes of a message. The details of a larger one are left out.
const MAX_BYTES: usize = 256 * 1024;

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Id of the row.
    pub(super) id: Uuid,
    /// Event type of the row.
    pub(super) event_type: String,
    /// Time of the row.
    pub(super) time: DateTime<Utc>,
    /// The CloudEvent in structured mode.
    pub(super) body: Vec<u8>,
}

/// Returns the messages about rows that still exist, in no order.
pub(super) async fn read(
    conn: &mut Conn,
    source: &str,
    chain: AuditChain,
    ids: &[Uuid],
) -> Result<Vec<Message>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(match chain {
        AuditChain::AuditLog => {
            let rows = conn.audit().audit_rows(ids).await?;
            rows.iter().map(|row| of_audit_row(source, row)).collect()
        }
        AuditChain::SecurityEvents => {
            let rows = conn.audit().security_rows(ids).await?;
            rows.iter().map(|row| of_security_row(source, row)).collect()
        }
    })
}

/// Returns the message about an audit row. Its data has the members of `GET /audit-logs`.
fn of_audit_row(source: &str, row: &AuditRow) -> Message {
    let facts = EventFacts {
        id: row.id,
        chain: AuditChain::AuditLog,
        event_type: &row.event_type,
        severity: None,
        time: row.timestamp,
        runner: row.runner_id,
        team: row.team_id,
    };
    let data = json!({
        "id": row.id,
        "event_type": row.event_type,
        "user_identity": row.user_identity,
        "oidc_sub": row.oidc_sub,
        "runner_id": row.runner_id,
        "runner_name": row.runner_name,
        "team_id": row.team_id,
        "team_name": row.team_name,
        "job_id": row.job_id,
        "request_ip": row.request_ip,
        "user_agent": row.user_agent,
        "request_id": row.request_id,
        "event_data": row.event_data,
        "success": row.success,
        "error_message": row.error_message,
        "timestamp": row.timestamp,
        "occurrences": row.occurrences,
        "last_at": row.last_at,
    });
    compose(source, facts, data, "event_data")
}

/// Returns the message about a security event. Its data has the members of `GET /admin/security-events`, without the
/// acknowledgement, which comes later.
fn of_security_row(source: &str, row: &SecurityRow) -> Message {
    let facts = EventFacts {
        id: row.id,
        chain: AuditChain::SecurityEvents,
        event_type: &row.event_type,
        severity: Some(&row.severity),
        time: row.timestamp,
        runner: row.runner_id,
        team: row.team_id,
    };
    let data = json!({
        "id": row.id,
        "event_type": row.event_type,
        "severity": row.severity,
        "user_identity": row.user_identity,
        "runner_id": row.runner_id,
        "runner_name": row.runner_name,
        "team_id": row.team_id,
        "violation_data": row.violation_data,
        "action_taken": row.action_taken,
        "action_detail": row.action_taken.parse().map_or("", ActionTaken::detail),
        "timestamp": row.timestamp,
        "occurrences": row.occurrences,
        "last_at": row.last_at,
    });
    compose(source, facts, data, "violation_data")
}

/// Returns the message with `data`, whose member `details` is left out if the message would be too large.
fn compose(source: &str, facts: EventFacts<'_>, mut data: Value, details: &str) -> Message {
    // Values of JSON always have a serialised form.
    let write = |data: &Value| serde_json::to_vec(&CloudEvent::new(source, facts, data)).unwrap_or_default();
    let mut body = write(&data);
    if body.len() > MAX_BYTES {
        data[details] = Value::Null;
        data["details_left_out"] = Value::Bool(true);
        body = write(&data);
    }
    Message { id: facts.id, event_type: facts.event_type.to_owned(), time: facts.time, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_details_are_left_out() {
        let facts = EventFacts {
            id: Uuid::nil(),
            chain: AuditChain::AuditLog,
            event_type: "team.create",
            severity: None,
            time: DateTime::UNIX_EPOCH,
            runner: None,
            team: None,
        };
        let body = |text: String| {
            let message =
                compose("/rts", facts, json!({ "event_data": text, "success": true }), "event_data");
            (message.body.len(), serde_json::from_slice::<Value>(&message.body).unwrap())
        };
        let (small, large) = (body("x".repeat(1000)).1, body("x".repeat(MAX_BYTES)));
        assert_eq!(small["data"]["event_data"].as_str().unwrap().len(), 1000);
        assert_eq!(large.1["data"], json!({ "event_data": null, "success": true, "details_left_out": true }));
        assert!(large.0 < 1000, "{}", large.0);
    }
}
