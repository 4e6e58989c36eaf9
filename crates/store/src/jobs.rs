//! Jobs. Every write of a result is fenced: it counts only for the newest start.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    BlockedOn, CallId, InstallationId, Job, JobId, JobKind, JobParams, JobState, Principal, Problem,
    Requester, RunnerId, TeamId,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Listed, MAX_TOTAL, Page, Result, StoreError, Visible,
    page::owner_columns,
    readable::{read_exactly, readable, report_unreadable},
};

/// The jobs, on one connection.
#[derive(Debug)]
pub struct Jobs<'c>(pub(crate) &'c mut PgConnection);

/// A job about to be accepted. Its patience is its kind's.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Whose GitHub budget it uses.
    pub installation: InstallationId,
    /// On whose account.
    pub team: Option<TeamId>,
    /// Who asked.
    pub requester: Option<Requester>,
    /// The runner it is about.
    pub runner: Option<RunnerId>,
    /// The call it cleans up after.
    pub call: Option<CallId>,
    /// What it is to do.
    pub params: JobParams,
    /// W3C trace context.
    pub trace: Option<String>,
}

/// Whether a postponed start counts as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// It does.
    Attempt,
    /// It was nobody's failure: a limit, an outage, a busy runner.
    Snooze,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only of this kind.
    pub kind: Option<JobKind>,
    /// Only of this team.
    pub team: Option<TeamId>,
}

struct JobRow {
    id: Uuid,
    kind: String,
    installation: String,
    team_id: Option<Uuid>,
    requester_user: Option<Uuid>,
    requester_client: Option<Uuid>,
    asked_by: Option<Vec<u8>>,
    joined: i32,
    runner_id: Option<Uuid>,
    runner_name: Option<String>,
    state: String,
    blocked_on: Option<String>,
    attempts: i32,
    snoozes: i32,
    rescues: i32,
    fence: i64,
    run_at: DateTime<Utc>,
    deadline_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    params: Value,
    error: Option<Value>,
    trace: Option<String>,
    now: DateTime<Utc>,
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self> {
        let wrong = StoreError::inconsistent;
        Ok(Self {
            id: row.id.into(),
            kind: row.kind.parse().map_err(wrong)?,
            installation: row.installation.parse().map_err(StoreError::inconsistent)?,
            team: row.team_id.map(Into::into),
            requester: Requester::from_columns(
                row.requester_user.map(Into::into),
                row.requester_client.map(Into::into),
            ),
            asked_by: row.asked_by,
            waiters: row.joined,
            runner: row.runner_id.map(Into::into),
            runner_name: row.runner_name,
            state: row.state.parse().map_err(wrong)?,
            blocked_on: row.blocked_on.map(|word| word.parse().map_err(wrong)).transpose()?,
            attempts: row.attempts,
            snoozes: row.snoozes,
            rescues: row.rescues,
            fence: row.fence,
            run_at: row.run_at,
            deadline_at: row.deadline_at,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            params: read_exactly(&row.params)?,
            error: row.error.map(serde_json::from_value).transpose().map_err(StoreError::inconsistent)?,
            trace: row.trace,
            now: row.now,
        })
    }
}

/// A statement over `jobs` that answers whole jobs: `$head`, the columns, `$tail`.
macro_rules! job_rows {
    ($head:tt, $tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            JobRow,
            $head + r#" jobs.id, jobs.kind, jobs.installation, jobs.team_id, jobs.requester_user, jobs.requester_client,
                jobs.asked_by, jobs.joined, jobs.runner_id, (SELECT name FROM runners WHERE runners.id = jobs.runner_id) AS "runner_name?",
                jobs.state, jobs.blocked_on, jobs.attempts, jobs.snoozes, jobs.rescues, jobs.fence, jobs.run_at,
                jobs.deadline_at, jobs.created_at, jobs.started_at, jobs.finished_at, jobs.params, jobs.error,
                jobs.trace, clock_timestamp() AS "now!" "# + $tail
            $(, $arg)*
        )
    };
}

fn single_row(row: Option<JobRow>) -> Result<Option<Job>> {
    row.map(Job::try_from).transpose()
}

impl Jobs<'_> {
    /// Adds a job, waiting.
    ///
    /// # Errors
    /// `Conflict` by `jobs_one_open_deprovision`, `jobs_one_open_drift_check` or `jobs_one_open_reap`.
    pub async fn insert(&mut self, job: &NewJob) -> Result<Job> {
        self.insert_for(job, None).await
    }

    /// Adds a job that this issuer and subject of a machine client asked for, waiting.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub async fn insert_for(&mut self, job: &NewJob, asked_by: Option<&Principal>) -> Result<Job> {
        let (user, client) = owner_columns(job.requester);
        let kind = job.params.kind();
        let params = serde_json::to_value(&job.params).map_err(StoreError::inconsistent)?;
        let row = job_rows!(
            "INSERT INTO jobs (id, kind, installation, team_id, requester_user, requester_client, runner_id, call_id,
                params, trace, deadline_at, asked_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11), $12) RETURNING",
            "",
            job.id.uuid(),
            kind.as_str(),
            job.installation.as_str(),
            job.team.map(TeamId::uuid),
            user,
            client,
            job.runner.map(RunnerId::uuid),
            job.call.map(CallId::uuid),
            params,
            job.trace,
            seconds(kind.deadline_after()),
            asked_by.map(Principal::fingerprint),
        )
        .fetch_one(&mut *self.0)
        .await?;
        row.try_into()
    }

    /// Adds those of the jobs, all of one kind, that no constraint forbids, waiting: one statement for any number.
    /// Answers the ones added.
    pub async fn insert_new(&mut self, jobs: &[NewJob]) -> Result<Vec<Job>> {
        let Some(kind) = jobs.first().map(|job| job.params.kind()) else { return Ok(Vec::new()) };
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.id.uuid()).collect();
        let installations: Vec<String> = jobs.iter().map(|job| job.installation.to_string()).collect();
        let teams: Vec<Option<Uuid>> = jobs.iter().map(|job| job.team.map(TeamId::uuid)).collect();
        let runners: Vec<Option<Uuid>> = jobs.iter().map(|job| job.runner.map(RunnerId::uuid)).collect();
        let params: Vec<Value> = jobs
            .iter()
            .map(|job| serde_json::to_value(&job.params).map_err(StoreError::inconsistent))
            .collect::<Result<_>>()?;
        let rows = job_rows!(
            "INSERT INTO jobs (id, kind, installation, team_id, runner_id, params, deadline_at)
             SELECT id, $1, installation, team, runner, params, now() + make_interval(secs => $2)
             FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::uuid[], $7::jsonb[])
                AS n(id, installation, team, runner, params)
             ON CONFLICT DO NOTHING RETURNING",
            "",
            kind.as_str(),
            seconds(kind.deadline_after()),
            &ids,
            &installations,
            &teams as &[Option<Uuid>],
            &runners as &[Option<Uuid>],
            &params,
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// Counts one caller more who is answered with the open removal, or check, of a runner. None: there is none.
    pub async fn add_waiter(&mut self, runner: RunnerId, kind: JobKind) -> Result<Option<Job>> {
        let row = job_rows!(
            "UPDATE jobs SET joined = joined + 1 WHERE runner_id = $1 AND kind = $2 AND finished_at IS NULL RETURNING",
            "",
            runner.uuid(),
            kind.as_str()
        )
        .fetch_optional(&mut *self.0)
        .await?;
        single_row(row)
    }

    /// The newest check of a runner that succeeded within this time. None: nobody has looked since.
    pub async fn find_recent_check(&mut self, runner: RunnerId, within: TimeDelta) -> Result<Option<Job>> {
        let row = job_rows!(
            "SELECT",
            "FROM jobs WHERE runner_id = $1 AND kind = 'drift_check' AND state = 'succeeded'
                AND finished_at > now() - make_interval(secs => $2)
             ORDER BY finished_at DESC LIMIT 1",
            runner.uuid(),
            seconds(within),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        single_row(row)
    }

    /// One who counted on a waiting job does so no more; with the last of them it is cancelled. None: it does not wait.
    pub async fn remove_waiter(&mut self, id: JobId) -> Result<Option<Job>> {
        let row = job_rows!(
            "UPDATE jobs SET joined = greatest(joined - 1, 0), updated_at = now(),
                state = CASE WHEN joined = 0 THEN 'cancelled' ELSE state END,
                blocked_on = CASE WHEN joined = 0 THEN NULL ELSE blocked_on END,
                finished_at = CASE WHEN joined = 0 THEN now() END
             WHERE id = $1 AND state = 'queued' RETURNING",
            "",
            id.uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        single_row(row)
    }

    /// The job, if there is one.
    pub async fn get(&mut self, id: JobId) -> Result<Option<Job>> {
        single_row(
            job_rows!("SELECT", "FROM jobs WHERE id = $1", id.uuid()).fetch_optional(&mut *self.0).await?,
        )
    }

    /// Starts a job that is not final: one more on the fence, and on one counter. `attempts`, when it waited. `rescues`,
    /// when it was running: its worker died. `snoozes`, when that worker is this very one or has given the job back: it
    /// lives, and only could not write down what had come of it. None: the job is final or unknown.
    ///
    /// # Errors
    /// `Inconsistent` when this version cannot read the job; then nothing was written.
    pub async fn start(&mut self, id: JobId, worker: &str, given_back: bool) -> Result<Option<Job>> {
        // Read before it is written: a newer version may have written what only it can do.
        let waiting = job_rows!("SELECT", "FROM jobs WHERE id = $1 AND finished_at IS NULL", id.uuid());
        let waiting = single_row(waiting.fetch_optional(&mut *self.0).await?);
        if waiting.inspect_err(report_unreadable)?.is_none() {
            return Ok(None);
        }
        let row = job_rows!(
            "UPDATE jobs SET state = 'running', blocked_on = NULL, fence = fence + 1, started_by = $2,
                attempts = attempts + (state = 'queued')::int,
                snoozes = snoozes + (state = 'running' AND ($3 OR started_by IS NOT DISTINCT FROM $2))::int,
                rescues = rescues + (state = 'running' AND NOT $3 AND started_by IS DISTINCT FROM $2)::int,
                started_at = coalesce(started_at, now()), updated_at = now()
             WHERE id = $1 AND finished_at IS NULL RETURNING",
            "",
            id.uuid(),
            worker,
            given_back,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        single_row(row)
    }

    /// Writes a final state. False: the fence moved on, or it was final already; nothing was written.
    pub async fn finish(&mut self, job: &Job, state: JobState, error: Option<&Problem>) -> Result<bool> {
        let error = error.map(serde_json::to_value).transpose().map_err(StoreError::inconsistent)?;
        let done = sqlx::query!(
            "UPDATE jobs SET state = $3, error = $4, blocked_on = NULL, finished_at = now(), updated_at = now()
             WHERE id = $1 AND fence = $2 AND state = 'running'",
            job.id.uuid(),
            job.fence,
            state.as_str(),
            error,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Puts a running job back to wait `delay`. False: the fence moved on.
    pub async fn postpone(
        &mut self,
        job: &Job,
        delay: TimeDelta,
        why: BlockedOn,
        count_as: Counter,
    ) -> Result<bool> {
        let snooze = i32::from(count_as == Counter::Snooze);
        let done = sqlx::query!(
            "UPDATE jobs SET state = 'queued', blocked_on = $4, run_at = now() + make_interval(secs => $3),
                attempts = attempts - $5, snoozes = snoozes + $5, updated_at = now()
             WHERE id = $1 AND fence = $2 AND state = 'running'",
            job.id.uuid(),
            job.fence,
            seconds(delay),
            why.as_str(),
            snooze,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Puts a running job back as if it had not been started: its worker is stopping. False: the fence moved on.
    pub async fn release(&mut self, job: &Job) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE jobs SET state = 'queued', attempts = greatest(attempts - 1, 0), updated_at = now()
             WHERE id = $1 AND fence = $2 AND state = 'running'",
            job.id.uuid(),
            job.fence,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Cancels a job that still waits. None: it runs, is final or unknown.
    pub async fn cancel(&mut self, id: JobId) -> Result<Option<Job>> {
        let row = job_rows!(
            "UPDATE jobs SET state = 'cancelled', blocked_on = NULL, finished_at = now(), updated_at = now()
             WHERE id = $1 AND state = 'queued' RETURNING",
            "",
            id.uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        single_row(row)
    }

    /// Jobs the caller may see.
    pub async fn list(&mut self, visible: &Visible, filter: &JobFilter, page: Page) -> Result<Listed<Job>> {
        let (state, kind) = (filter.state.map(JobState::as_str), filter.kind.map(JobKind::as_str));
        let team = filter.team.map(TeamId::uuid);
        let rows = job_rows!(
            "SELECT",
            "FROM jobs WHERE id IN (SELECT id FROM jobs
                WHERE ($1 OR requester_user = $2 OR requester_client = $3 OR team_id = ANY($4))
                    AND ($5::text IS NULL OR state = $5) AND ($6::text IS NULL OR kind = $6)
                    AND ($7::uuid IS NULL OR team_id = $7) AND ($8::uuid IS NULL OR id < $8)
                ORDER BY id DESC LIMIT $9 OFFSET $10)
             ORDER BY id DESC",
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
            state,
            kind,
            team,
            page.before,
            page.limit,
            page.offset,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let counted = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM (SELECT FROM jobs
             WHERE ($1 OR requester_user = $2 OR requester_client = $3 OR team_id = ANY($4))
                AND ($5::text IS NULL OR state = $5) AND ($6::text IS NULL OR kind = $6)
                AND ($7::uuid IS NULL OR team_id = $7) LIMIT $8) counted"#,
            visible.all,
            visible.user,
            visible.client,
            &visible.teams,
            state,
            kind,
            team,
            MAX_TOTAL + 1,
        )
        .fetch_one(&mut *self.0)
        .await?;
        let next = page.next(rows.len(), 0, rows.last().map(|last| last.id));
        Ok(Listed::bounded(readable(rows), counted, next))
    }
}

/// A span of time as the seconds `make_interval` takes.
#[expect(clippy::cast_precision_loss, reason = "spans here are hours at most")]
pub(crate) fn seconds(span: TimeDelta) -> f64 {
    span.num_milliseconds() as f64 / 1000.0
}
