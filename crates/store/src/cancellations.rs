//! Workflow runs GitHub is to cancel, because of a job that should not run where it runs.

use chrono::TimeDelta;
use domain::{InstallationId, RunnerId, TeamId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, StoreError, jobs::seconds, readable::keep_readable};

/// The cancellations, on one connection.
#[derive(Debug)]
pub struct Cancellations<'c>(pub(crate) &'c mut PgConnection);

/// A run to be cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCancellation<'a> {
    /// Whose GitHub.
    pub installation: &'a InstallationId,
    /// `owner/name`.
    pub repository: &'a str,
    /// The run.
    pub run: i64,
    /// The job on account of which.
    pub job: i64,
    /// Where that job runs.
    pub runner: RunnerId,
    /// The security event it follows from.
    pub reason: &'static str,
}

/// A cancellation whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// Its id.
    pub id: Uuid,
    /// Whose GitHub.
    pub installation: InstallationId,
    /// `owner/name`.
    pub repository: String,
    /// The run.
    pub run: i64,
    /// Where its job runs.
    pub runner: RunnerId,
    /// That runner's name.
    pub runner_name: String,
    /// That runner's team.
    pub team: TeamId,
    /// Why.
    pub reason: String,
    /// Which try this is, from 1.
    pub attempt: i16,
    /// The job is over already.
    pub over: bool,
    /// It has been wanted for six hours.
    pub old: bool,
}

impl Cancellations<'_> {
    /// Asks for a cancellation; once for each job.
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

    /// Takes up to `most` that are due, none of an installation in `resting`. Each is due again in `lease`, should its
    /// taker die.
    pub async fn take(
        &mut self,
        most: i64,
        lease: TimeDelta,
        resting: &[InstallationId],
    ) -> Result<Vec<Cancellation>> {
        let resting: Vec<String> = resting.iter().map(ToString::to_string).collect();
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
            &resting,
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

    /// Notes the end of one: done, or given up. False: somebody else did.
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

    /// Puts one off; a try that never reached GitHub does not count.
    pub async fn put_off(&mut self, id: Uuid, delay: TimeDelta, note: &str, counts: bool) -> Result<()> {
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
