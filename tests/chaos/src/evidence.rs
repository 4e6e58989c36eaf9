//! Data judged by the oracles, read once when the run has settled.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use github_twin::{Ledger, Runner};
use serde_json::Value;
use sqlx::{PgPool, Row, postgres::PgRow};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    action::Role,
    clocks::Clocks,
    cooldown::Settled,
    environment::Environment,
    excused_periods::{ExcusedPeriods, Span, outside},
    faults::ExecutedFaults,
    history::Life,
    people::Team,
    processes::Slot,
    redis_snapshot::{Looks, RedisSnapshot},
    response_counts::Counts,
    search::Search,
    watch::Seen,
};

/// One row of `jobs`.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobRow {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) is_final: bool,
    /// From its deadline until it ended, if that was later.
    pub(crate) late: Option<Span>,
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

/// Everything the oracles judge.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) executed_faults: ExecutedFaults,
    /// Lease of the workers.
    pub(crate) lease: Duration,
    pub(crate) responses: Counts,
    pub(crate) seen: Seen,
    pub(crate) jobs: Vec<JobRow>,
    pub(crate) runners: Vec<RunnerRow>,
    /// Period in which each runner counted for its team's quota.
    pub(crate) lives: Vec<Life>,
    pub(crate) calls: Vec<CallRow>,
    /// Idempotency keys and their jobs.
    pub(crate) keys: Vec<(String, Uuid)>,
    pub(crate) teams: Vec<Team>,
    /// Live runners of each team by `GET /admin/teams`.
    pub(crate) counted: Vec<(Uuid, i64)>,
    /// Jobs in all lanes by `GET /admin/queues`.
    pub(crate) queued: i64,
    /// Keys in Redis that still hold jobs or counts of jobs.
    pub(crate) leftovers: Vec<String>,
    /// Snapshots of Redis during the run.
    pub(crate) looks: Looks,
    /// State in which the run settled.
    pub(crate) settled: Settled,
    pub(crate) github: Vec<Runner>,
    pub(crate) ledger: Ledger,
    /// Places where the canary was found.
    pub(crate) leaks: Vec<String>,
    /// Number of texts searched for the canary.
    pub(crate) searched: usize,
    /// Webhooks acknowledged to GitHub.
    pub(crate) arrived: Vec<Uuid>,
    /// Stored webhooks and their states.
    pub(crate) inbox: HashMap<Uuid, String>,
    /// Periods in which GitHub's limits blocked progress.
    pub(crate) excused: ExcusedPeriods,
    /// Starts, by job and fence, that their worker aborted because it could not renew the lease.
    pub(crate) cut_off: HashSet<(Uuid, i64)>,
    /// Processes that exited unexpectedly.
    pub(crate) surprises: Vec<String>,
    /// Names of unmanaged runners that must still be on GitHub.
    pub(crate) unmanaged: BTreeSet<String>,
    /// Whether GitHub sends webhooks.
    pub(crate) has_webhooks: bool,
    /// Clock errors of the stores at the start.
    pub(crate) clocks: Clocks,
    /// Slowness factor of this machine; 0 when not measured.
    pub(crate) slowness: f64,
}

/// Records made during the run.
pub(crate) struct Records {
    /// Lease of the workers.
    pub(crate) lease: Duration,
    /// Responses to the callers.
    pub(crate) responses: Counts,
    /// Executed faults.
    pub(crate) executed_faults: ExecutedFaults,
    /// State in which the run settled.
    pub(crate) settled: Settled,
    /// Observed quotas and final states.
    pub(crate) seen: Seen,
    /// Periods in which GitHub's limits blocked progress.
    pub(crate) excused: ExcusedPeriods,
    /// Snapshots of Redis.
    pub(crate) looks: Looks,
}

impl Evidence {
    /// Reads everything. All servers and processes must be up.
    pub(crate) async fn collect(environment: &Arc<Environment>, records: Records) -> anyhow::Result<Self> {
        let Records { lease, responses, executed_faults, settled, seen, excused, looks } = records;
        let teams = environment.teams.clone();
        let mut evidence =
            Self { executed_faults, lease, seen, teams, looks, settled, excused, ..Self::default() };
        evidence.rows(&environment.sql).await.context("the rows cannot be read")?;
        evidence.lives = Life::all(&environment.sql).await.context("the runners' history cannot be read")?;
        evidence.counted = counted(environment).await.context("the teams cannot be read")?;
        evidence.queued = queued(environment).await.context("the queue cannot be read")?;
        let inside = RedisSnapshot::read(environment).await.context("Redis cannot be read")?;
        evidence.leftovers = inside.of_jobs();
        evidence.github = environment.twin.runners();
        evidence.ledger = environment.twin.ledger();
        evidence.has_webhooks = environment.has_webhooks;
        evidence.arrived = arrived(environment);
        let search = Search::everywhere(environment, &inside).await;
        let search = search.context("the search for the canary broke off")?;
        evidence.searched = search.searched + evidence.looks.searched;
        evidence.leaks = [responses.leaks.clone(), evidence.looks.leaks.clone(), search.leaks].concat();
        evidence.responses = responses;
        evidence.cut_off = cut_off(environment).await.context("the workers' logs cannot be read")?;
        evidence.surprises = environment.slots.iter().flat_map(Slot::surprises).collect();
        Ok(evidence)
    }

    /// Returns the bound for this machine from the bound for an idle one.
    pub(crate) fn scaled(&self, bound: Duration) -> Duration {
        bound.mul_f64(self.slowness.max(1.0))
    }

    /// Returns the part of a period in which progress was possible.
    pub(crate) fn free(&self, span: Span) -> Duration {
        let idle: Vec<Span> =
            self.excused.spans.iter().chain(&self.executed_faults.disturbed).copied().collect();
        outside(&idle, span)
    }

    /// Returns how long each job of a killed worker waited for its next start: the total, the part outside pauses,
    /// outages, used-up limits and freezes of another worker, and whether its lease was lost. After such a loss the
    /// second
    /// value counts from the last loss, when the wait started again.
    pub(crate) fn recoveries(&self) -> Vec<(Duration, Duration, bool)> {
        let idle: Vec<Span> = [
            &self.excused.spans,
            &self.excused.full,
            &self.executed_faults.disturbed,
            &self.executed_faults.frozen,
        ]
        .into_iter()
        .flatten()
        .copied()
        .collect();
        let times = |span: &Span| {
            let lost = self.executed_faults.lost.iter().filter(|at| (span.0..=span.1).contains(at)).max();
            let counted = (lost.copied().unwrap_or(span.0), span.1);
            (span.1 - span.0, outside(&idle, counted), lost.is_some())
        };
        self.executed_faults.recoveries.iter().map(times).collect()
    }

    async fn rows(&mut self, sql: &PgPool) -> sqlx::Result<()> {
        let jobs = "SELECT id, kind, state, finished_at IS NOT NULL,
            extract(epoch FROM now() - deadline_at)::float8,
            extract(epoch FROM now() - coalesce(finished_at, now()))::float8, error->>'code', runner_id, blocked_on, attempts, snoozes, rescues, fence FROM jobs ORDER BY id";
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
}

/// Reads from the workers' logs which leases ended during a job.
async fn cut_off(environment: &Environment) -> std::io::Result<HashSet<(Uuid, i64)>> {
    let mut starts = HashSet::new();
    for slot in environment.of(Role::Worker) {
        let text = tokio::fs::read(slot.log()).await?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| line.contains("the lease was lost"));
        starts.extend(lines.filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let span = &line["span"];
            Some((span["job"].as_str()?.parse().ok()?, span["fence"].as_i64()?))
        }));
    }
    Ok(starts)
}

fn arrived(environment: &Environment) -> Vec<Uuid> {
    let deliveries = environment.twin.control().deliveries();
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
        late: late_period(row.try_get(4)?, row.try_get(5)?),
        code: row.try_get(6)?,
        runner: row.try_get(7)?,
        blocked_on: row.try_get(8)?,
        attempts: row.try_get(9)?,
        snoozes: row.try_get(10)?,
        rescues: row.try_get(11)?,
        fence: row.try_get(12)?,
    })
}

/// Returns the period between a deadline and an end, given as seconds ago by the database's clock.
fn late_period(deadline: f64, end: f64) -> Option<Span> {
    let now = Instant::now();
    let ago = |seconds: f64| now.checked_sub(Duration::try_from_secs_f64(seconds).ok()?);
    (deadline > end).then(|| Some((ago(deadline)?, ago(end)?))).flatten()
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

async fn counted(environment: &Environment) -> anyhow::Result<Vec<(Uuid, i64)>> {
    let url = format!("{}/api/v1/admin/teams", environment.api(0));
    let answer =
        environment.client.get(url).bearer_auth(&environment.root.token).send().await?.error_for_status()?;
    let body: Value = answer.json().await?;
    let teams = body["teams"].as_array().context("no teams")?;
    let one =
        |team: &Value| Some((team["id"].as_str()?.parse().ok()?, team["active_runner_count"].as_i64()?));
    teams.iter().map(one).collect::<Option<_>>().context("a team without a count")
}

/// Returns the number of jobs in all lanes as the API reports it to an admin.
pub(crate) async fn queued(environment: &Environment) -> anyhow::Result<i64> {
    let url = format!("{}/api/v1/admin/queues", environment.api(0));
    let answer =
        environment.client.get(url).bearer_auth(&environment.root.token).send().await?.error_for_status()?;
    let body: Value = answer.json().await?;
    let lanes = body["lanes"].as_array().context("no lanes")?;
    let number = |lane: &Value, name: &str| lane[name].as_i64();
    let all =
        |lane: &Value| Some(number(lane, "waiting")? + number(lane, "delayed")? + number(lane, "running")?);
    lanes.iter().map(all).sum::<Option<i64>>().context("a lane without counts")
}

/// Time of the machine's clock, which is also the twin's clock.
pub(crate) type At = DateTime<Utc>;
