//! Requests to GitHub to cancel workflow runs with a job that must not run on its runner.

use chrono::TimeDelta;
use domain::{InstallationId, RunnerId, TeamId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, StoreError, jobs::seconds, readable::keep_readable};

/// Cancellation queries on one connection.
#[derive(Debug)]
pub struct Cancellations<'c>(pub(crate) &'c mut PgConnection);

/// A workflow run to cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCancellation<'a> {
    /// Installation of the runner.
    pub installation: &'a InstallationId,
    /// `owner/name`.
    pub repository: &'a str,
    /// GitHub's id of the workflow run.
    pub run: i64,
    /// GitHub's id of the workflow job that causes the cancellation.
    pub job: i64,
    /// Runner that runs the job.
    pub runner: RunnerId,
    /// Type of the security event that causes the cancellation.
    pub reason: &'static str,
}

/// A cancellation that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// Id of the row.
    pub id: Uuid,
    /// Installation of the runner.
    pub installation: InstallationId,
    /// `owner/name`.
    pub repository: String,
    /// GitHub's id of the workflow run.
    pub run: i64,
    /// Runner that runs the job.
    pub runner: RunnerId,
    /// Name of the runner.
    pub runner_name: String,
    /// Team of the runner.
    pub team: TeamId,
    /// Type of the security event that causes the cancellation.
    pub reason: String,
    /// Number of this attempt, from 1.
    pub attempt: i16,
    /// Whether the workflow job is completed.
    pub over: bool,
    /// Whether the cancellation was requested more than six hours ago.
    pub old: bool,
}

impl Cancellations<'_> {
    /// Requests a cancellation, at most one for each workflow job.
    pub async fn insert(&mut self, new: &NewCancellation<'_>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO workflow_cancellations (id, installation, repository, run_id, workflow_job_id, runner_id, reason)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT ON CONSTRAINT workflow_cancellations_job_key DO NOTHING",
            Uuid::now_v7(),
            new.installation.as_str(),
            new.repository,
            new.run,
            new.job,
            new.runner.uuid(),
            new.reason,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Takes up to `most` due cancellations, none of an installation in `paused`. Each is due again after `lease`, in
    /// case the process that took it dies.
    pub async fn take_due(
        &mut self,
        most: i64,
        lease: TimeDelta,
        paused: &[InstallationId],
    ) -> Result<Vec<Cancellation>> {
        let paused: Vec<String> = paused.iter().map(ToString::to_string).collect();
        let rows = sqlx::query!(
            r#"UPDATE workflow_cancellations AS c
             SET attempts = c.attempts + 1, next_at = now() + make_interval(secs => $2)
             FROM runners
             WHERE runners.id = c.runner_id AND c.id IN (
                SELECT id FROM workflow_cancellations WHERE state = 'pending' AND next_at <= now()
                AND installation <> ALL($3::text[]) ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED)
             RETURNING c.id, c.installation, c.repository, c.run_id, c.runner_id, runners.name, runners.team_id,
                c.reason, c.attempts,
                coalesce(runners.workflow_completed AND runners.workflow_job_id = c.workflow_job_id, false) AS "over!",
                c.created_at < now() - interval '6 hours' AS "old!""#,
            most,
            seconds(lease),
            &paused,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let read = rows.into_iter().map(|row| {
            Ok(Cancellation {
                id: row.id,
                installation: row.installation.parse().map_err(StoreError::inconsistent)?,
                repository: row.repository,
                run: row.run_id,
                runner: row.runner_id.into(),
                runner_name: row.name,
                team: row.team_id.into(),
                reason: row.reason,
                attempt: row.attempts,
                over: row.over,
                old: row.old,
            })
        });
        Ok(read.filter_map(keep_readable).collect())
    }

    /// Records the end of a cancellation: done, or given up. Returns `false` if another process ended it before.
    pub async fn settle(&mut self, id: Uuid, done: bool, note: &str) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE workflow_cancellations SET state = CASE WHEN $2 THEN 'done' ELSE 'given_up' END, note = $3,
                settled_at = now() WHERE id = $1 AND state = 'pending'",
            id,
            done,
            note,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Postpones a cancellation. An attempt that did not reach GitHub does not count (`counts`).
    pub async fn postpone(&mut self, id: Uuid, delay: TimeDelta, note: &str, counts: bool) -> Result<()> {
        sqlx::query!(
            "UPDATE workflow_cancellations SET next_at = now() + make_interval(secs => $2), note = $3,
                attempts = attempts - $4 WHERE id = $1 AND state = 'pending'",
            id,
            seconds(delay),
            note,
            i16::from(!counts),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }
}
