//! GitHub calls that create runners: each is written down as an intent before it is made, and its outcome after.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Call, CallId, CallState, InstallationId, Job, RunnerName, reap_due};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Result, StoreError,
    jobs::seconds,
    readable::{ReadablePages, read_row},
};

/// GitHub call queries on one connection.
#[derive(Debug)]
pub struct GithubCalls<'c>(pub(crate) &'c mut PgConnection);

/// The intent of one GitHub call.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Id of the call.
    pub id: CallId,
    /// Installation that makes the call: in an App pool, one of its Apps.
    pub app: InstallationId,
    /// Number of this try to create the runner, from 1.
    pub generation: i16,
    /// Name requested for the runner.
    pub runner_name: RunnerName,
}

struct CallRow {
    id: Uuid,
    job_id: Uuid,
    installation: String,
    generation: i16,
    runner_name: String,
    state: String,
    github_runner_id: Option<i64>,
    reap_attempts: i16,
    started_at: DateTime<Utc>,
}

impl TryFrom<CallRow> for Call {
    type Error = StoreError;

    fn try_from(row: CallRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            job: row.job_id.into(),
            installation: row.installation.parse().map_err(StoreError::inconsistent)?,
            generation: row.generation,
            runner_name: row.runner_name.parse().map_err(StoreError::inconsistent)?,
            state: row.state.parse().map_err(StoreError::inconsistent)?,
            github_runner_id: row.github_runner_id,
            reap_attempts: row.reap_attempts,
            started_at: row.started_at,
        })
    }
}

macro_rules! call_rows {
    ($tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            CallRow,
            "SELECT id, job_id, installation, generation, runner_name, state, github_runner_id, reap_attempts,
                started_at FROM github_calls " + $tail
            $(, $arg)*
        )
    };
}

impl GithubCalls<'_> {
    /// Writes an intent, if the job's fence is still the newest. Returns `false` if not; then the call must not be
    /// made.
    pub async fn record_intent(&mut self, job: &Job, intent: &Intent) -> Result<bool> {
        let done = sqlx::query!(
            "INSERT INTO github_calls (id, job_id, installation, generation, runner_name, app_installation, fence)
             SELECT $3, id, installation, $4, $5, $6, fence FROM jobs WHERE id = $1 AND fence = $2 AND state = 'running'",
            job.id.uuid(),
            job.fence,
            intent.id.uuid(),
            intent.generation,
            intent.runner_name.as_str(),
            intent.app.as_str(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Returns all calls of a job, oldest first.
    pub async fn of_job(&mut self, job: &Job) -> Result<Vec<Call>> {
        let rows = call_rows!("WHERE job_id = $1 ORDER BY generation", job.id.uuid())
            .fetch_all(&mut *self.0)
            .await?;
        rows.into_iter().map(Call::try_from).collect()
    }

    /// Returns the call, if it exists.
    pub async fn get(&mut self, id: CallId) -> Result<Option<Call>> {
        let row = call_rows!("WHERE id = $1", id.uuid()).fetch_optional(&mut *self.0).await?;
        read_row(row)
    }

    /// Records the outcome of a call whose outcome was open, with GitHub's id of the request if a response came. A known
    /// `github_runner_id` is kept. Returns whether a row changed.
    pub async fn conclude(
        &mut self,
        id: CallId,
        state: CallState,
        github_runner_id: Option<i64>,
        request_id: Option<&str>,
    ) -> Result<bool> {
        let due = (state == CallState::EffectSuspected).then(|| reap_due(0)).flatten().map(seconds);
        let done = sqlx::query!(
            "UPDATE github_calls SET state = $2, github_runner_id = coalesce($3, github_runner_id), finished_at = now(),
                github_request_id = coalesce(left($5, 100), github_request_id),
                next_reap_at = CASE WHEN $4::float8 IS NULL THEN NULL ELSE now() + make_interval(secs => $4) END
             WHERE id = $1 AND state IN ('intent', 'effect_suspected')",
            id.uuid(),
            state.as_str(),
            github_runner_id,
            due,
            request_id,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes the intent of a call that was certainly not made, so that its generation can be used again.
    pub async fn withdraw(&mut self, id: CallId) -> Result<()> {
        sqlx::query!("DELETE FROM github_calls WHERE id = $1 AND state = 'intent'", id.uuid())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Records a lookup of a suspected call. The next one is due by [`reap_due`]; after the last one the call is
    /// settled.
    pub async fn record_lookup(&mut self, call: &Call) -> Result<()> {
        let next = reap_due(call.reap_attempts + 1).map(seconds);
        sqlx::query!(
            "UPDATE github_calls SET reap_attempts = $2,
                state = CASE WHEN $3::float8 IS NULL THEN 'settled' ELSE state END,
                next_reap_at = CASE WHEN $3 IS NULL THEN NULL
                    ELSE greatest(started_at + make_interval(secs => $3), now() + interval '5 seconds') END
             WHERE id = $1 AND state = 'effect_suspected'",
            call.id.uuid(),
            call.reap_attempts + 1,
            next,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Postpones a lookup that could conclude nothing yet. It does not count, so that the last lookup is not used up
    /// while another runner has the name.
    pub async fn postpone_lookup(&mut self, call: &Call) -> Result<()> {
        sqlx::query!(
            "UPDATE github_calls SET next_reap_at = now() + interval '30 seconds'
             WHERE id = $1 AND state = 'effect_suspected'",
            call.id.uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns whether another runner may have the call's name: a runner that is not deleted has it, or another call
    /// for it has no answer yet.
    pub async fn name_is_claimed(&mut self, call: &Call) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM runners
                    WHERE installation = $1 AND lower(name) = lower($2) AND status <> 'deleted')
                OR EXISTS (SELECT FROM github_calls
                    WHERE installation = $1 AND lower(runner_name) = lower($2) AND id <> $3 AND state = 'intent')
                AS "claimed!""#,
            call.installation.as_str(),
            call.runner_name.as_str(),
            call.id.uuid(),
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Returns suspected calls whose lookup is due and has no open job yet, oldest first, at most `most`. It looks for
    /// them behind calls that this version cannot read.
    pub async fn due(&mut self, most: i64) -> Result<Vec<Call>> {
        let mut pages = ReadablePages::new(most);
        loop {
            let rows = call_rows!(
                "WHERE next_reap_at <= now() AND state = 'effect_suspected'
                    AND NOT EXISTS (SELECT FROM jobs WHERE call_id = github_calls.id AND finished_at IS NULL)
                 ORDER BY next_reap_at, id LIMIT $1 OFFSET $2",
                most,
                pages.offset(),
            )
            .fetch_all(&mut *self.0)
            .await?;
            if !pages.add(rows) {
                return Ok(pages.into_found());
            }
        }
    }

    /// Records a suspected call for each runner of `names` (lower case) that only a finished job of ours can have
    /// requested, although no call is recorded: the database was restored to a time before the call. Returns how many.
    pub async fn suspect_forgotten(
        &mut self,
        installation: &InstallationId,
        names: &[String],
    ) -> Result<u64> {
        let wait = seconds(reap_due(0).unwrap_or(TimeDelta::zero()));
        let done = sqlx::query!(
            "INSERT INTO github_calls (id, job_id, installation, generation, runner_name, fence, state, finished_at,
                next_reap_at)
             SELECT gen_random_uuid(), jobs.id, runners.installation,
                (SELECT coalesce(max(c.generation), 0) + 1 FROM github_calls c WHERE c.job_id = jobs.id)::smallint,
                runners.name, jobs.fence, 'effect_suspected', now(), now() + make_interval(secs => $3)
             FROM runners JOIN jobs ON jobs.runner_id = runners.id
             WHERE runners.installation = $1 AND lower(runners.name) = ANY($2) AND runners.status = 'deleted'
                AND runners.github_runner_id IS NULL AND jobs.kind = 'provision' AND jobs.finished_at IS NOT NULL
                AND jobs.params -> 'name' ? 'prefix'
                AND NOT EXISTS (SELECT FROM github_calls c
                                WHERE c.installation = $1 AND lower(c.runner_name) = lower(runners.name))",
            installation.as_str(),
            names,
            wait,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Marks intents as suspected whose job is final or was started again. Returns how many.
    pub async fn suspect_orphans(&mut self, most: i64) -> Result<u64> {
        let wait = seconds(reap_due(0).unwrap_or(TimeDelta::zero()));
        let done = sqlx::query!(
            "UPDATE github_calls SET state = 'effect_suspected', finished_at = now(),
                next_reap_at = now() + make_interval(secs => $2)
             WHERE id IN (SELECT c.id FROM github_calls c JOIN jobs ON jobs.id = c.job_id
                          WHERE c.state = 'intent' AND (jobs.finished_at IS NOT NULL OR jobs.fence <> c.fence)
                          LIMIT $1)",
            most,
            wait,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}
