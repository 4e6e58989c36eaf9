//! Everything the oracles judge, read once when all is quiet.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool, Row, postgres::PgRow};
use twin::{Ledger, Runner};
use uuid::Uuid;

use crate::{
    faults::Deeds,
    held::{Span, outside},
    needles::Needles,
    people::Team,
    processes::Slot,
    stage::Stage,
    tally::Told,
    watch::Seen,
};

/// One row of `jobs`.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobRow {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) is_final: bool,
    /// Seconds it ended, or is, past its deadline; negative before it.
    pub(crate) late: f64,
    pub(crate) code: Option<String>,
    pub(crate) runner: Option<Uuid>,
    pub(crate) blocked_on: Option<String>,
    pub(crate) attempts: i32,
    pub(crate) snoozes: i32,
    pub(crate) rescues: i32,
    pub(crate) fence: i64,
}

/// One row of `runners`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunnerRow {
    pub(crate) id: Uuid,
    pub(crate) team: Uuid,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) github_id: Option<i64>,
}

impl RunnerRow {
    pub(crate) fn is_live(&self) -> bool {
        self.status != "deleted"
    }
}

/// One row of `github_calls`.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallRow {
    pub(crate) job: Uuid,
    pub(crate) state: String,
    pub(crate) name: String,
    pub(crate) github_id: Option<i64>,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) deeds: Deeds,
    pub(crate) told: Told,
    pub(crate) seen: Seen,
    pub(crate) jobs: Vec<JobRow>,
    pub(crate) runners: Vec<RunnerRow>,
    pub(crate) calls: Vec<CallRow>,
    /// Idempotency-Key and its job.
    pub(crate) keys: Vec<(String, Uuid)>,
    pub(crate) teams: Vec<Team>,
    /// What `GET /admin/teams` counts: id and live runners.
    pub(crate) counted: Vec<(Uuid, i64)>,
    /// Places in the queue that should be empty.
    pub(crate) queued: Vec<String>,
    pub(crate) github: Vec<Runner>,
    pub(crate) ledger: Ledger,
    /// Where the canary was found.
    pub(crate) leaks: Vec<String>,
    /// Texts it was looked for in.
    pub(crate) searched: usize,
    /// Webhooks GitHub was told of that they arrived.
    pub(crate) arrived: Vec<Uuid>,
    /// Webhooks kept, and how they stand.
    pub(crate) inbox: HashMap<Uuid, String>,
    /// When GitHub made everybody wait.
    pub(crate) held: Vec<Span>,
    /// Processes that ended by themselves.
    pub(crate) surprises: Vec<String>,
}

impl Evidence {
    /// Reads it all. Everything must be up.
    pub(crate) async fn collect(
        stage: &Arc<Stage>,
        told: Told,
        deeds: Deeds,
        (seen, held): (Seen, Vec<Span>),
    ) -> anyhow::Result<Self> {
        let mut evidence = Self { deeds, seen, held, teams: stage.teams.clone(), ..Self::default() };
        evidence.rows(&stage.sql).await.context("the rows cannot be read")?;
        evidence.counted = counted(stage).await.context("the teams cannot be read")?;
        evidence.queued = queued(stage).await.context("the queue cannot be read")?;
        evidence.github = stage.twin.runners();
        evidence.ledger = stage.twin.ledger();
        evidence.arrived = arrived(stage);
        evidence.leaks.clone_from(&told.leaks);
        evidence.told = told;
        evidence.search(stage).await.context("the search for the canary broke off")?;
        evidence.surprises = stage.slots.iter().flat_map(Slot::surprises).collect();
        Ok(evidence)
    }

    /// How long each job of a killed worker waited for its next start: in all, and outside pauses and outages.
    pub(crate) fn recoveries(&self) -> Vec<(Duration, Duration)> {
        let idle: Vec<Span> = self.held.iter().chain(&self.deeds.disturbed).copied().collect();
        let times = |span: &Span| (span.1 - span.0, outside(&idle, *span));
        self.deeds.recoveries.iter().map(times).collect()
    }

    async fn rows(&mut self, sql: &PgPool) -> sqlx::Result<()> {
        let jobs = "SELECT id, kind, state, finished_at IS NOT NULL, 
            extract(epoch FROM coalesce(finished_at, now()) - deadline_at)::float8,
            error->>'code', runner_id, blocked_on, attempts, snoozes, rescues, fence FROM jobs ORDER BY id";
        self.jobs = all(sql, jobs, job).await?;
        let runners = "SELECT id, team_id, name, status, github_runner_id FROM runners ORDER BY id";
        self.runners = all(sql, runners, runner).await?;
        let calls = "SELECT job_id, state, runner_name, github_runner_id FROM github_calls
            ORDER BY job_id, generation";
        self.calls = all(sql, calls, call).await?;
        let keys = "SELECT key, job_id FROM idempotency_keys";
        self.keys = all(sql, keys, |row| Ok((row.try_get(0)?, row.try_get(1)?))).await?;
        let inbox = "SELECT delivery_id, state FROM webhook_inbox";
        self.inbox =
            all(sql, inbox, |row| Ok((row.try_get(0)?, row.try_get(1)?))).await?.into_iter().collect();
        Ok(())
    }

    async fn search(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let needles = Needles::of(&stage.canary);
        for path in stage.logs() {
            let text = String::from_utf8_lossy(&tokio::fs::read(&path).await?).into_owned();
            self.look(&needles, &path.display().to_string(), &text);
        }
        for slot in &stage.slots {
            let url = format!("http://{}/metrics", slot.recipe.address);
            let text = stage.client.get(&url).send().await?.error_for_status()?.text().await?;
            self.look(&needles, &format!("metrics of {}", slot.name()), &text);
        }
        let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
        for table in all(&stage.sql, tables, |row| row.try_get::<String, _>(0)).await? {
            // What is sealed is the one place where it may be, and there nobody can read it.
            let query =
                format!("SELECT (to_jsonb(t) - 'ciphertext' - 'wrapped_key')::text FROM \"{table}\" t");
            let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(&stage.sql);
            while let Some(row) = rows.try_next().await? {
                self.look(&needles, &format!("table {table}"), &row.try_get::<String, _>(0)?);
            }
        }
        let mut redis = stage.redis.get_multiplexed_async_connection().await?;
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await?;
        for key in keys {
            let dump: Vec<u8> =
                redis::cmd("DUMP").arg(&key).query_async(&mut redis).await.unwrap_or_default();
            self.look(
                &needles,
                &format!("redis key {key}"),
                &format!("{key} {}", String::from_utf8_lossy(&dump)),
            );
        }
        Ok(())
    }

    fn look(&mut self, needles: &Needles, place: &str, text: &str) {
        self.searched += 1;
        if needles.in_text(text) {
            self.leaks.push(place.to_owned());
        }
    }
}

fn arrived(stage: &Stage) -> Vec<Uuid> {
    let deliveries = stage.twin.control().deliveries();
    let heard = deliveries.iter().filter(|one| (200..300).contains(&one.status_code));
    heard.filter_map(|one| one.guid.parse().ok()).collect()
}

async fn all<T>(
    sql: &PgPool,
    query: &'static str,
    read: impl Fn(&PgRow) -> sqlx::Result<T>,
) -> sqlx::Result<Vec<T>> {
    sqlx::query(query).fetch_all(sql).await?.iter().map(read).collect()
}

fn job(row: &PgRow) -> sqlx::Result<JobRow> {
    Ok(JobRow {
        id: row.try_get(0)?,
        kind: row.try_get(1)?,
        state: row.try_get(2)?,
        is_final: row.try_get(3)?,
        late: row.try_get(4)?,
        code: row.try_get(5)?,
        runner: row.try_get(6)?,
        blocked_on: row.try_get(7)?,
        attempts: row.try_get(8)?,
        snoozes: row.try_get(9)?,
        rescues: row.try_get(10)?,
        fence: row.try_get(11)?,
    })
}

fn runner(row: &PgRow) -> sqlx::Result<RunnerRow> {
    Ok(RunnerRow {
        id: row.try_get(0)?,
        team: row.try_get(1)?,
        name: row.try_get(2)?,
        status: row.try_get(3)?,
        github_id: row.try_get(4)?,
    })
}

fn call(row: &PgRow) -> sqlx::Result<CallRow> {
    Ok(CallRow {
        job: row.try_get(0)?,
        state: row.try_get(1)?,
        name: row.try_get(2)?,
        github_id: row.try_get(3)?,
    })
}

async fn counted(stage: &Stage) -> anyhow::Result<Vec<(Uuid, i64)>> {
    let url = format!("{}/api/v1/admin/teams", stage.api(0));
    let answer = stage.client.get(url).bearer_auth(&stage.root.token).send().await?.error_for_status()?;
    let body: Value = answer.json().await?;
    let teams = body["teams"].as_array().context("no teams")?;
    let one =
        |team: &Value| Some((team["id"].as_str()?.parse().ok()?, team["active_runner_count"].as_i64()?));
    teams.iter().map(one).collect::<Option<_>>().context("a team without a count")
}

/// Every place of the queue that holds a job.
async fn queued(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let stats = stage.spine()?.stats().await?;
    let busy = stats.lanes.iter().filter(|lane| lane.waiting + lane.delayed + lane.running > 0);
    Ok(busy.map(|lane| format!("{lane:?}")).collect())
}

/// The machine's clock and the twin's are one.
pub(crate) type At = DateTime<Utc>;
