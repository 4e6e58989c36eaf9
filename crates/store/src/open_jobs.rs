//! Jobs that are not final, as the requeue and expire steps read them. They use only columns that every version of the
//! program writes alike, so that a row of a newer version stops neither step.

use chrono::TimeDelta;
use domain::{InstallationId, JobId, JobKind, Problem, Requester, RunnerId, TeamId};
use uuid::Uuid;

use crate::{Jobs, Result, StoreError, jobs::seconds, readable::readable};

/// A job whose deadline has passed. No version of the program changes the meaning of these columns.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpiredJob {
    /// Id of the job.
    pub id: JobId,
    /// Kind, as text: a newer version may have written one that this version does not know.
    pub kind: String,
    /// Team it belongs to.
    pub team: Option<TeamId>,
    /// Requester; `None` for jobs of the service itself.
    pub requester: Option<Requester>,
    /// Runner it is about.
    pub runner: Option<RunnerId>,
    /// Name of that runner.
    pub runner_name: Option<String>,
    /// Whether that runner is still `requested` and unknown to GitHub.
    pub runner_requested: bool,
}

/// A batch of jobs that are not final.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenJobs {
    /// Jobs that this version can read, by id.
    pub jobs: Vec<OpenJob>,
    /// Last id of the batch, unreadable jobs included; `None` if there are no more.
    pub last: Option<JobId>,
    /// Number of jobs in the batch, unreadable ones included.
    pub seen: usize,
}

/// A job that is not final, as the queue needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenJob {
    /// Id of the job.
    pub id: JobId,
    /// Kind of the job.
    pub kind: JobKind,
    /// Installation whose GitHub budget it uses.
    pub installation: InstallationId,
    /// Team it belongs to.
    pub team: Option<TeamId>,
    /// Weight of the team.
    pub weight: f64,
    /// Time since the job was accepted. All times here are durations by the database's clock, because other clocks
    /// differ.
    pub age: TimeDelta,
    /// Time until the deadline; negative after it.
    pub time_left: TimeDelta,
    /// Time until it may start; negative after it.
    pub delay: TimeDelta,
    /// Whether its row says that a worker runs it.
    pub running: bool,
    /// Whether a caller requested the check or waits for it.
    pub asked: bool,
    /// Time since its row changed.
    pub quiet_for: TimeDelta,
}

struct OpenRow {
    id: Uuid,
    kind: String,
    installation: String,
    team_id: Option<Uuid>,
    weight: f64,
    age: f64,
    time_left: f64,
    delay: f64,
    running: bool,
    asked: bool,
    quiet: f64,
}

impl TryFrom<OpenRow> for OpenJob {
    type Error = StoreError;

    fn try_from(row: OpenRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            kind: row.kind.parse().map_err(StoreError::inconsistent)?,
            installation: row.installation.parse().map_err(StoreError::inconsistent)?,
            team: row.team_id.map(Into::into),
            weight: row.weight,
            age: span(row.age),
            time_left: span(row.time_left),
            delay: span(row.delay),
            running: row.running,
            asked: row.asked,
            quiet_for: span(row.quiet),
        })
    }
}

impl Jobs<'_> {
    /// Locks up to `most` jobs whose deadline has passed and makes them final: queued jobs at once, running ones
    /// `grace` later. A worker that still runs one cannot write its result. A job that this version cannot read expires
    /// as well.
    pub async fn expire(&mut self, error: &Problem, grace: TimeDelta, most: i64) -> Result<Vec<ExpiredJob>> {
        let error = serde_json::to_value(error).map_err(StoreError::inconsistent)?;
        let rows = sqlx::query!(
            r#"WITH expired AS (
                UPDATE jobs SET state = 'expired', blocked_on = NULL, error = $1, finished_at = now(), updated_at = now()
                WHERE id IN (SELECT id FROM jobs WHERE finished_at IS NULL AND deadline_at <= now()
                                AND (state = 'queued' OR deadline_at <= now() - make_interval(secs => $3))
                             ORDER BY deadline_at LIMIT $2 FOR UPDATE SKIP LOCKED)
                RETURNING id, kind, team_id, requester_user, requester_client, runner_id)
             SELECT expired.id, kind, expired.team_id, requester_user, requester_client, runner_id,
                runners.name AS "runner_name?", coalesce(runners.status = 'requested', false) AS "requested!"
             FROM expired LEFT JOIN runners ON runners.id = expired.runner_id"#,
            error,
            most,
            seconds(grace),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let expired = rows.into_iter().map(|row| ExpiredJob {
            id: row.id.into(),
            kind: row.kind,
            team: row.team_id.map(Into::into),
            requester: Requester::from_columns(
                row.requester_user.map(Into::into),
                row.requester_client.map(Into::into),
            ),
            runner: row.runner_id.map(Into::into),
            runner_name: row.runner_name,
            runner_requested: row.requested,
        });
        Ok(expired.collect())
    }

    /// Returns up to `most` jobs that are not final, by id from after `after`.
    pub async fn open(&mut self, after: Option<JobId>, most: i64) -> Result<OpenJobs> {
        let rows = sqlx::query_as!(
            OpenRow,
            r#"SELECT jobs.id, kind, jobs.installation, team_id, coalesce(weight, 1) AS "weight!",
                extract(epoch FROM now() - jobs.created_at)::float8 AS "age!",
                extract(epoch FROM deadline_at - now())::float8 AS "time_left!",
                extract(epoch FROM run_at - now())::float8 AS "delay!",
                state = 'running' AS "running!",
                joined > 0 OR coalesce(params ->> 'source' = 'refresh', false) AS "asked!",
                extract(epoch FROM now() - jobs.updated_at)::float8 AS "quiet!"
             FROM jobs LEFT JOIN teams ON teams.id = jobs.team_id
             WHERE finished_at IS NULL AND ($1::uuid IS NULL OR jobs.id > $1) ORDER BY jobs.id LIMIT $2"#,
            after.map(JobId::uuid),
            most,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let last = rows.last().map(|row| row.id.into());
        Ok(OpenJobs { last, seen: rows.len(), jobs: readable(rows) })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an age in milliseconds fits by far")]
fn span(seconds: f64) -> TimeDelta {
    TimeDelta::milliseconds((seconds * 1000.0) as i64)
}
