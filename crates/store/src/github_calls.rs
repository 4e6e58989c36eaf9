//! Intents and what became of them.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Call, CallId, CallState, Job, RunnerName, reap_due};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, StoreError, jobs::seconds, readable::readable};

/// The intents, on one connection.
#[derive(Debug)]
pub struct GithubCalls<'c>(pub(crate) &'c mut PgConnection);

/// What is written down before GitHub is asked.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Its id.
    pub id: CallId,
    /// Which try, from 1.
    pub generation: i16,
    /// The name asked for.
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
    /// Writes an intent down, if the job is still ours. False: the fence moved on; do not call.
    pub async fn record_intent(&mut self, job: &Job, intent: &Intent) -> Result<bool> {
        let done = sqlx::query!(
            "INSERT INTO github_calls (id, job_id, installation, generation, runner_name, fence)
             SELECT $3, id, installation, $4, $5, fence FROM jobs WHERE id = $1 AND fence = $2 AND state = 'running'",
            job.id.uuid(),
            job.fence,
            intent.id.uuid(),
            intent.generation,
            intent.runner_name.as_str(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// All calls of a job, oldest first.
    pub async fn of(&mut self, job: &Job) -> Result<Vec<Call>> {
        let rows = call_rows!("WHERE job_id = $1 ORDER BY generation", job.id.uuid())
            .fetch_all(&mut *self.0)
            .await?;
        rows.into_iter().map(Call::try_from).collect()
    }

    /// The call, if there is one.
    pub async fn get(&mut self, id: CallId) -> Result<Option<Call>> {
        let row = call_rows!("WHERE id = $1", id.uuid()).fetch_optional(&mut *self.0).await?;
        row.map(Call::try_from).transpose()
    }

    /// Notes what became of a call whose outcome was still open. `github_runner_id` stays known once it is.
    pub async fn conclude(
        &mut self,
        id: CallId,
        state: CallState,
        github_runner_id: Option<i64>,
    ) -> Result<bool> {
        let due = (state == CallState::EffectSuspected).then(|| reap_due(0)).flatten().map(seconds);
        let done = sqlx::query!(
            "UPDATE github_calls SET state = $2, github_runner_id = coalesce($3, github_runner_id), finished_at = now(),
                next_reap_at = CASE WHEN $4::float8 IS NULL THEN NULL ELSE now() + make_interval(secs => $4) END
             WHERE id = $1 AND state IN ('intent', 'effect_suspected')",
            id.uuid(),
            state.as_str(),
            github_runner_id,
            due,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes an intent back whose call was certainly not made, so that its generation can be used again.
    pub async fn withdraw(&mut self, id: CallId) -> Result<()> {
        sqlx::query!("DELETE FROM github_calls WHERE id = $1 AND state = 'intent'", id.uuid())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Notes a look-up of a suspected call: the next is due by [`reap_due`], or it is settled after the last one.
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

    /// Puts a look-up off that could conclude nothing yet. It does not count: the last one must not be spent while the
    /// name serves somebody.
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

    /// Whether somebody else may have made, or be about to make, a runner under the call's name: a live row bears it, or
    /// another call that asks for it is under way.
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

    /// Suspected calls whose look-up is due and has no open job yet, oldest first, at most `most`.
    pub async fn due(&mut self, most: i64) -> Result<Vec<Call>> {
        let rows = call_rows!(
            "WHERE next_reap_at <= now()
                AND NOT EXISTS (SELECT FROM jobs WHERE call_id = github_calls.id AND finished_at IS NULL)
             ORDER BY next_reap_at LIMIT $1",
            most
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(readable(rows))
    }

    /// Intents whose maker is gone: their job is final, or another start took over. They become suspected.
    /// Answers how many.
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
