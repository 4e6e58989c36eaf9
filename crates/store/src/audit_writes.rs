//! New audit rows and security events. They are appended and never removed.
//!
//! Equal ones of one actor within one minute may share a row that counts them. A caller who repeats a refused request
//! therefore writes a bounded number of rows.

use std::fmt::Write;

use domain::{AuditEntry, SecurityEvent, Severity};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Audit, Result, page::owner_columns};

/// Most security events about wrong signatures in one minute, from all addresses together.
const MAX_SIGNATURE_EVENTS: i64 = 30;

/// The parts that make two entries of one minute equal: the actor and the parts given. The event type is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatKey(String);

impl RepeatKey {
    /// Returns the key of `actor` and `parts`, in this order. Parts may be any text; they are hashed, not stored.
    pub fn new(actor: &str, parts: &[&str]) -> Self {
        let mut text = String::new();
        for part in std::iter::once(&actor).chain(parts) {
            // The length comes first, so that two different lists of parts never give one text. PostgreSQL accepts no
            // NUL.
            let part = part.replace('\0', "");
            let _ = write!(text, "{}:{part}|", part.len());
        }
        Self(text)
    }
}

impl Audit<'_> {
    /// Writes one audit row. A missing identity is looked up by the requester's id: a job knows its requester by id
    /// alone.
    pub async fn write(&mut self, entry: &AuditEntry) -> Result<()> {
        self.insert_entry(entry, None).await.map(drop)
    }

    /// Writes one audit row, or counts one more occurrence on the equal row of this minute. Returns whether the row is
    /// new. A row keeps the details of the first occurrence.
    pub async fn write_or_count(&mut self, entry: &AuditEntry, key: &RepeatKey) -> Result<bool> {
        self.insert_entry(entry, Some(key)).await
    }

    /// Writes one security event; `entry` has the runner, the team, the identity and the details.
    pub async fn alarm(&mut self, event: &SecurityEvent, entry: &AuditEntry) -> Result<()> {
        self.insert_event(event, entry, None).await.map(drop)
    }

    /// Writes one security event about `entry`, or counts one more occurrence on the equal event of this minute.
    /// Returns whether the event is new.
    pub async fn alarm_or_count(
        &mut self,
        event: &SecurityEvent,
        entry: &AuditEntry,
        key: &RepeatKey,
    ) -> Result<bool> {
        self.insert_event(event, entry, Some(key)).await
    }

    /// Inserts one audit row; one without a key is never counted. Returns whether the row is new.
    async fn insert_entry(&mut self, entry: &AuditEntry, key: Option<&RepeatKey>) -> Result<bool> {
        let (user, client) = owner_columns(entry.requester);
        let data = entry.stored_data();
        Ok(sqlx::query_scalar!(
            r#"INSERT INTO audit_log (id, event_type, user_id, client_id, user_identity, runner_id, runner_name, team_id,
                job_id, request_ip, user_agent, request_id, event_data, success, error_message, repeat_key, oidc_sub)
             VALUES ($1, $2, $3, $4,
                coalesce($5, (SELECT coalesce(email, issuer || '#' || subject) FROM users WHERE id = $3),
                    (SELECT oauth_clients.client_id FROM oauth_clients WHERE id = $4)),
                $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                sha256(convert_to($16 || $2 || '|' || floor(extract(epoch FROM clock_timestamp()) / 60)::bigint, 'UTF8')),
                coalesce($17, (SELECT subject FROM users WHERE id = $3)))
             ON CONFLICT (repeat_key) WHERE repeat_key IS NOT NULL
                DO UPDATE SET occurrences = audit_log.occurrences + 1, last_at = now()
             RETURNING occurrences = 1 AS "new!""#,
            Uuid::now_v7(),
            entry.event_type,
            user,
            client,
            entry.identity,
            entry.runner.map(Uuid::from),
            entry.runner_name,
            entry.team.map(Uuid::from),
            entry.job.map(Uuid::from),
            entry.origin.ip.map(|ip| ip.to_string()),
            entry.origin.user_agent,
            entry.origin.request_id,
            data,
            entry.error.is_none(),
            entry.error,
            key.map(|key| &*key.0),
            entry.subject,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Inserts one security event; one without a key is never counted. Returns whether the event is new.
    async fn insert_event(
        &mut self,
        event: &SecurityEvent,
        entry: &AuditEntry,
        key: Option<&RepeatKey>,
    ) -> Result<bool> {
        let (user, client) = owner_columns(entry.requester);
        let data = entry.stored_data();
        let new = sqlx::query_scalar!(
            r#"INSERT INTO security_events (id, event_type, severity, user_identity, runner_id, runner_name, team_id,
                violation_data, action_taken, repeat_key)
             VALUES ($1, $2, $3,
                coalesce($4, (SELECT coalesce(email, issuer || '#' || subject) FROM users WHERE id = $10),
                    (SELECT oauth_clients.client_id FROM oauth_clients WHERE id = $11)),
                $5, $6, $7, $8, $9,
                sha256(convert_to($12 || $2 || '|' || floor(extract(epoch FROM clock_timestamp()) / 60)::bigint, 'UTF8')))
             ON CONFLICT (repeat_key) WHERE repeat_key IS NOT NULL
                DO UPDATE SET occurrences = security_events.occurrences + 1, last_at = now()
             RETURNING occurrences = 1 AS "new!""#,
            Uuid::now_v7(),
            event.event_type,
            event.severity.as_str(),
            entry.identity,
            entry.runner.map(Uuid::from),
            entry.runner_name,
            entry.team.map(Uuid::from),
            data,
            event.action_taken,
            user,
            client,
            key.map(|key| &*key.0),
        )
        .fetch_one(&mut *self.0)
        .await?;
        count_event(event.event_type, event.severity);
        Ok(new)
    }

    /// Writes rows whose identity is known, in their order.
    pub async fn write_all(&mut self, entries: &[AuditEntry]) -> Result<()> {
        let rows: Value = entries.iter().map(row_json).collect();
        sqlx::query!(
            "INSERT INTO audit_log (id, event_type, user_id, client_id, user_identity, runner_id, runner_name, team_id,
                job_id, request_ip, user_agent, request_id, event_data, success, error_message, oidc_sub)
             SELECT id, event_type, user_id, client_id, user_identity, runner_id, runner_name, team_id, job_id,
                request_ip, user_agent, request_id, event_data, error_message IS NULL, error_message, oidc_sub
             FROM jsonb_to_recordset($1) AS r (id uuid, event_type text, user_id uuid, client_id uuid,
                user_identity text, runner_id uuid, runner_name text, team_id uuid, job_id uuid, request_ip text,
                user_agent text, request_id text, event_data jsonb, error_message text, oidc_sub text)",
            rows,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Writes a security event about a wrong signature, unless one exists from the same address in this minute or the
    /// limit is reached. Returns `false` if none was written.
    pub async fn write_signature_event(&mut self, from: &str, details: &Value) -> Result<bool> {
        let done = sqlx::query!(
            "WITH recent AS (
                SELECT violation_data ->> 'address' AS address FROM security_events
                WHERE event_type = 'webhook_signature_invalid' AND \"timestamp\" > now() - interval '1 minute'
                ORDER BY id DESC LIMIT $4)
             INSERT INTO security_events (id, event_type, severity, violation_data, action_taken)
             SELECT $1, 'webhook_signature_invalid', 'high', $2, 'refused'
             WHERE NOT EXISTS (SELECT FROM recent WHERE address = $3) AND (SELECT count(*) FROM recent) < $4",
            Uuid::now_v7(),
            details,
            from,
            MAX_SIGNATURE_EVENTS,
        )
        .execute(&mut *self.0)
        .await?;
        let written = done.rows_affected() == 1;
        if written {
            count_event("webhook_signature_invalid", Severity::High);
        }
        Ok(written)
    }
}

/// Counts a security event. Types are a closed set: each is a constant of the program.
fn count_event(event_type: &'static str, severity: Severity) {
    metrics::counter!("rts_security_events_total", "type" => event_type, "severity" => severity.as_str())
        .increment(1);
}

fn row_json(entry: &AuditEntry) -> Value {
    let (user, client) = owner_columns(entry.requester);
    json!({
        "id": Uuid::now_v7(),
        "event_type": entry.event_type,
        "user_id": user,
        "client_id": client,
        "user_identity": entry.identity,
        "runner_id": entry.runner,
        "runner_name": entry.runner_name,
        "team_id": entry.team,
        "job_id": entry.job,
        "request_ip": entry.origin.ip,
        "user_agent": entry.origin.user_agent,
        "request_id": entry.origin.request_id,
        "event_data": entry.stored_data(),
        "error_message": entry.error,
        "oidc_sub": entry.subject,
    })
}
