//! Acceptance of requests for runners: everything that one transaction records about a request, in one statement.
//!
//! Each statement is a round trip to the database, and all requests share its processors. Outside a transaction the
//! statement is a transaction by itself, so that a request without a quota costs one round trip.

use domain::{AuditEntry, Job, RunnerVersion, TeamId};
use uuid::Uuid;

use super::{JobRow, Jobs, job_rows, seconds};
use crate::{KeyedRequest, NewJob, NewRunner, Result, StoreError, page::owner_columns};

/// A request for a runner that is to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct AcceptedRequest<'a> {
    /// Requested runner.
    pub runner: &'a NewRunner,
    /// Job that makes the runner.
    pub job: &'a NewJob,
    /// Fingerprint of the principal that requested the job for a machine client.
    pub asked_by: Option<&'a [u8]>,
    /// Audit row about the request. Its identity and subject are stored as they are.
    pub entry: &'a AuditEntry,
}

/// The statement that records a request and returns its job. The rows come from `brief`, so that the time-out is set
/// before the first lock is requested.
macro_rules! accepted_rows {
    ($($arg:expr),+ $(,)?) => {
        job_rows!(
            "WITH brief AS MATERIALIZED (SELECT set_config('lock_timeout', '500ms', true)),
             taken AS (
                INSERT INTO idempotency_keys (requester, key, body_hash, job_id, asked_by)
                SELECT $1, $2, $3, $4, $5 FROM brief WHERE $2::text IS NOT NULL
                ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING RETURNING key
             ),
             runner AS (
                INSERT INTO runners (id, installation, team_id, owner_user, owner_client, name, status, runner_group_id,
                    labels, ephemeral, registers_itself, stated_version)
                SELECT $6, $7, $8, $9, $10, $11, 'requested', $12, $13::text[], $14, $15, $16
                FROM brief WHERE $2::text IS NULL OR EXISTS (SELECT FROM taken)
                RETURNING id
             ),
             transition AS (
                INSERT INTO runner_events (runner_id, to_status, source) SELECT id, 'requested', 'api' FROM runner
             ),
             audit AS (
                INSERT INTO audit_log (id, event_type, user_id, client_id, user_identity, runner_id, runner_name,
                    team_id, job_id, request_ip, user_agent, request_id, event_data, success, error_message, oidc_sub)
                SELECT $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30::text IS NULL, $30, $31
                FROM runner
             )
             INSERT INTO jobs (id, kind, installation, team_id, requester_user, requester_client, runner_id, params,
                trace, deadline_at, asked_by)
             SELECT $4, $32, $33, $34, $35, $36, id, $37, $38, now() + make_interval(secs => $39), $40
             FROM runner RETURNING",
            "",
            $($arg),+
        )
    };
}

impl Jobs<'_> {
    /// Inserts the runner with status `requested`, its first transition, its queued job and the audit row. The statement
    /// waits at most 500 ms for a lock, such as that of a request with an equal name that is not committed.
    ///
    /// # Errors
    /// `Conflict` by `runners_name_key` if a runner that is not deleted has the name; `Unavailable` if a lock is not free
    /// in time.
    pub async fn accept(&mut self, request: &AcceptedRequest<'_>) -> Result<Job> {
        let job = self.accept_unless_taken(request, None).await?;
        job.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// Takes the idempotency key for the job and inserts the rows like [`Self::accept`]. Returns `None`, and writes
    /// nothing, if the key is taken. It waits for a request with an equal key that is not committed.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub async fn accept_keyed(
        &mut self,
        request: &AcceptedRequest<'_>,
        key: &KeyedRequest<'_>,
    ) -> Result<Option<Job>> {
        self.accept_unless_taken(request, Some(key)).await
    }

    async fn accept_unless_taken(
        &mut self,
        request: &AcceptedRequest<'_>,
        key: Option<&KeyedRequest<'_>>,
    ) -> Result<Option<Job>> {
        let AcceptedRequest { runner, job, asked_by, entry } = request;
        let (owner_user, owner_client) = owner_columns(Some(runner.owner));
        let (requester_user, requester_client) = owner_columns(job.requester);
        let (actor_user, actor_client) = owner_columns(entry.requester);
        let kind = job.params.kind();
        let row = accepted_rows!(
            key.map(|key| key.requester.to_string()),
            key.map(|key| key.key),
            key.map(|key| key.body_hash),
            job.id.uuid(),
            key.and_then(|key| key.asked_by),
            runner.id.uuid(),
            runner.installation.as_str(),
            runner.team.uuid(),
            owner_user,
            owner_client,
            runner.name.as_str(),
            runner.runner_group_id,
            &runner.labels,
            runner.ephemeral,
            runner.registers_itself,
            runner.stated_version.as_ref().map(RunnerVersion::as_str),
            Uuid::now_v7(),
            entry.event_type,
            actor_user,
            actor_client,
            entry.identity,
            entry.runner.map(Uuid::from),
            entry.runner_name,
            entry.team.map(Uuid::from),
            entry.job.map(Uuid::from),
            entry.origin.ip.map(|ip| ip.to_string()),
            entry.origin.user_agent,
            entry.origin.request_id,
            entry.stored_data(),
            entry.error,
            entry.subject,
            kind.as_str(),
            job.installation.as_str(),
            job.team.map(TeamId::uuid),
            requester_user,
            requester_client,
            serde_json::to_value(&job.params).map_err(StoreError::inconsistent)?,
            job.trace,
            seconds(kind.deadline_after()),
            *asked_by,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let job = row.map(Job::try_from).transpose()?;
        // The statement does not see its own runner, whose name the job shows.
        Ok(job.map(|job| Job { runner_name: Some(runner.name.to_string()), ..job }))
    }
}
