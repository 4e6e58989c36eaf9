//! Incidents, their changes, and blocked issuers.

mod scope;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{IncidentItemKind, IncidentItemState, IncidentKind, IncidentState, JobId, Origin, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::scope::{IncidentScope, ScopedRunner};
use crate::{Result, StoreError, jobs::seconds};

/// Queries of incidents on one connection.
#[derive(Debug)]
pub struct Incidents<'c>(pub(crate) &'c mut PgConnection);

/// Target of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentTarget {
    /// Kind of the target.
    pub kind: IncidentKind,
    /// The team, person or machine client; `None` for an issuer.
    pub id: Option<Uuid>,
    /// Its readable name; for an issuer, the issuer.
    pub name: String,
}

/// An incident to begin.
#[derive(Clone, Debug)]
pub struct NewIncident {
    /// Id of the incident.
    pub id: Uuid,
    /// Its target.
    pub target: IncidentTarget,
    /// Reason, for the audit log and the members of a team.
    pub reason: String,
    /// Admin for whom it runs.
    pub admin: UserId,
    /// The request.
    pub origin: Origin,
}

/// An incident as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentRow {
    /// Id of the incident.
    pub id: Uuid,
    /// Its target.
    pub target: IncidentTarget,
    /// Reason.
    pub reason: String,
    /// State.
    pub state: IncidentState,
    /// Admin for whom it runs.
    pub admin: UserId,
    /// Address of the request.
    pub request_ip: Option<String>,
    /// User agent of the request.
    pub user_agent: Option<String>,
    /// Id of the request.
    pub request_id: Option<String>,
    /// Time of the beginning.
    pub created_at: DateTime<Utc>,
    /// Time at which all access had ended.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Time at which all access was restored.
    pub undone_at: Option<DateTime<Utc>>,
    /// Identity of the admin who restored it.
    pub undone_by: Option<String>,
}

/// A change to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIncidentItem {
    /// Kind of the change.
    pub kind: IncidentItemKind,
    /// Team, person, machine client or runner.
    pub subject: Uuid,
    /// Its readable name.
    pub name: String,
    /// Waiting, or unchanged if it is so already.
    pub state: IncidentItemState,
}

/// One change of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentItem {
    /// Number of the change, from 1.
    pub number: i32,
    /// Kind of the change.
    pub kind: IncidentItemKind,
    /// Team, person, machine client or runner.
    pub subject: Uuid,
    /// Its readable name.
    pub name: String,
    /// Outcome.
    pub state: IncidentItemState,
    /// Explanation of the outcome.
    pub detail: Option<String>,
    /// The job that removes a runner.
    pub job: Option<JobId>,
}

impl Incidents<'_> {
    /// Writes an incident and its changes. An issuer is blocked in the same transaction.
    ///
    /// # Errors
    /// `Conflict` with `blocked_issuers_pkey` if the issuer is blocked already.
    pub async fn insert(&mut self, incident: &NewIncident, items: &[NewIncidentItem]) -> Result<()> {
        let NewIncident { id, target, .. } = incident;
        sqlx::query!(
            "INSERT INTO incidents (id, target_kind, target_id, target_name, reason, admin_id, request_ip, user_agent,
                request_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            id,
            target.kind.as_str(),
            target.id,
            target.name,
            incident.reason,
            incident.admin.uuid(),
            incident.origin.ip.map(|ip| ip.to_string()),
            incident.origin.user_agent,
            incident.origin.request_id,
        )
        .execute(&mut *self.0)
        .await?;
        if target.kind == IncidentKind::Issuer {
            sqlx::query!(
                "INSERT INTO blocked_issuers (issuer, incident_id) VALUES ($1, $2)",
                target.name,
                id
            )
            .execute(&mut *self.0)
            .await?;
        }
        self.insert_items(*id, items).await
    }

    async fn insert_items(&mut self, incident: Uuid, items: &[NewIncidentItem]) -> Result<()> {
        let kinds: Vec<String> = items.iter().map(|item| item.kind.as_str().to_owned()).collect();
        let subjects: Vec<Uuid> = items.iter().map(|item| item.subject).collect();
        let names: Vec<String> = items.iter().map(|item| item.name.clone()).collect();
        let states: Vec<String> = items.iter().map(|item| item.state.as_str().to_owned()).collect();
        sqlx::query!(
            "INSERT INTO incident_items (incident_id, number, kind, subject_id, name, state)
             SELECT $1, row_number() OVER (ORDER BY place), kind, id, name, state
             FROM unnest($2::text[], $3::uuid[], $4::text[], $5::text[])
                WITH ORDINALITY AS item (kind, id, name, state, place)",
            incident,
            &kinds,
            &subjects,
            &names,
            &states,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns an incident.
    pub async fn get(&mut self, id: Uuid) -> Result<Option<IncidentRow>> {
        Ok(self.read(Some(id), 1).await?.pop())
    }

    /// Returns the newest incidents, newest first.
    pub async fn newest(&mut self, limit: i64) -> Result<Vec<IncidentRow>> {
        self.read(None, limit).await
    }

    async fn read(&mut self, id: Option<Uuid>, limit: i64) -> Result<Vec<IncidentRow>> {
        let rows = sqlx::query!(
            "SELECT id, target_kind, target_id, target_name, reason, state, admin_id, request_ip, user_agent, request_id,
                created_at, revoked_at, undone_at, undone_by
             FROM incidents WHERE $1::uuid IS NULL OR id = $1 ORDER BY id DESC LIMIT $2",
            id,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let incident = rows.into_iter().map(|row| {
            let kind = row.target_kind.parse().map_err(StoreError::inconsistent)?;
            Ok(IncidentRow {
                id: row.id,
                target: IncidentTarget { kind, id: row.target_id, name: row.target_name },
                reason: row.reason,
                state: row.state.parse().map_err(StoreError::inconsistent)?,
                admin: row.admin_id.into(),
                request_ip: row.request_ip,
                user_agent: row.user_agent,
                request_id: row.request_id,
                created_at: row.created_at,
                revoked_at: row.revoked_at,
                undone_at: row.undone_at,
                undone_by: row.undone_by,
            })
        });
        incident.collect()
    }

    /// Returns up to `limit` changes after a number, in order; with `state`, only those in that state.
    pub async fn items(
        &mut self,
        incident: Uuid,
        after: i32,
        state: Option<IncidentItemState>,
        limit: i64,
    ) -> Result<Vec<IncidentItem>> {
        let rows = sqlx::query!(
            "SELECT number, kind, subject_id, name, state, detail, job_id FROM incident_items
             WHERE incident_id = $1 AND number > $2 AND ($3::text IS NULL OR state = $3) ORDER BY number LIMIT $4",
            incident,
            after,
            state.map(IncidentItemState::as_str),
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let item = rows.into_iter().map(|row| {
            Ok(IncidentItem {
                number: row.number,
                kind: row.kind.parse().map_err(StoreError::inconsistent)?,
                subject: row.subject_id,
                name: row.name,
                state: row.state.parse().map_err(StoreError::inconsistent)?,
                detail: row.detail,
                job: row.job_id.map(Into::into),
            })
        });
        item.collect()
    }

    /// Returns the number of changes in each state.
    pub async fn count_items(&mut self, incident: Uuid) -> Result<Vec<(IncidentItemState, i64)>> {
        let rows = sqlx::query!(
            r#"SELECT state, count(*) AS "count!" FROM incident_items WHERE incident_id = $1 GROUP BY state"#,
            incident,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let counted = |row: (String, i64)| Ok((row.0.parse().map_err(StoreError::inconsistent)?, row.1));
        rows.into_iter().map(|row| counted((row.state, row.count))).collect()
    }

    /// Writes the outcome of a change.
    pub async fn finish_item(&mut self, incident: Uuid, item: &IncidentItem) -> Result<()> {
        sqlx::query!(
            "UPDATE incident_items SET state = $3, detail = $4, job_id = $5 WHERE incident_id = $1 AND number = $2",
            incident,
            item.number,
            item.state.as_str(),
            item.detail,
            item.job.map(Uuid::from),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns unfinished incidents that no process works on, oldest first.
    pub async fn idle(&mut self, limit: i64) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            "SELECT id FROM incidents
             WHERE state IN ('revoking', 'undoing') AND coalesce(worked_on_until, '-infinity') < now()
             ORDER BY created_at LIMIT $1",
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Takes or renews the right to work on an unfinished incident for `life`. Returns whether `worker` has it.
    pub async fn take(&mut self, id: Uuid, worker: &str, life: TimeDelta) -> Result<bool> {
        let taken = sqlx::query!(
            "UPDATE incidents SET worked_on_by = $2, worked_on_until = now() + make_interval(secs => $3)
             WHERE id = $1 AND state IN ('revoking', 'undoing')
                AND (worked_on_by = $2 OR coalesce(worked_on_until, '-infinity') < now())",
            id,
            worker,
            seconds(life),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Gives the right up.
    pub async fn release(&mut self, id: Uuid, worker: &str) -> Result<()> {
        sqlx::query!(
            "UPDATE incidents SET worked_on_until = NULL WHERE id = $1 AND worked_on_by = $2",
            id,
            worker,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Ends the revocation.
    pub async fn finish_revoking(&mut self, id: Uuid) -> Result<()> {
        sqlx::query!(
            "UPDATE incidents SET state = 'active', revoked_at = now() WHERE id = $1 AND state = 'revoking'",
            id,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Begins to take back an incident, and unblocks its issuer. Changes that wait are dropped. Returns whether the
    /// incident was active or being revoked.
    pub async fn begin_undo(&mut self, id: Uuid, admin: UserId, identity: Option<&str>) -> Result<bool> {
        let begun = sqlx::query!(
            "UPDATE incidents SET state = 'undoing', admin_id = $2, undone_by = $3
             WHERE id = $1 AND state IN ('revoking', 'active')",
            id,
            admin.uuid(),
            identity,
        )
        .execute(&mut *self.0)
        .await?;
        if begun.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query!("DELETE FROM blocked_issuers WHERE incident_id = $1", id).execute(&mut *self.0).await?;
        sqlx::query!("DELETE FROM incident_items WHERE incident_id = $1 AND state = 'waiting'", id)
            .execute(&mut *self.0)
            .await?;
        Ok(true)
    }

    /// Ends the restoration.
    pub async fn finish_undo(&mut self, id: Uuid) -> Result<()> {
        sqlx::query!(
            "UPDATE incidents SET state = 'undone', undone_at = now() WHERE id = $1 AND state = 'undoing'",
            id,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns whether tokens of an issuer are refused.
    pub async fn is_blocked(&mut self, issuer: &str) -> Result<bool> {
        let blocked = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM blocked_issuers WHERE issuer = $1) AS "blocked!""#,
            issuer,
        );
        Ok(blocked.fetch_one(&mut *self.0).await?)
    }
}
