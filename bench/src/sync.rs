//! A sync run over 10,000 runners, 1 % of which changed since the last run.
//!
//! Of 100 changed runners, 40 went offline, 40 came online and 20 have other labels. Each of those 20 gets a drift check,
//! which removes it: that is the default of a team.

use std::time::Duration;

use anyhow::{Context, ensure};
use github_twin::{Runner, RunnerChange, RunnerSpec, Twin};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    environment::{Deployment, Environment},
    report::{Report, Row, Target},
    scale::Scale,
};

const RUNNERS: u32 = 10_000;
/// Runners changed before each run: `TURNED` come online, `TURNED` go offline, and the labels of the rest change.
const CHANGED: usize = 100;
const TURNED: usize = 40;
/// Upper bound on the requests of a run: 100 pages, one more, and one per changed runner.
const MAX_REQUESTS: f64 = 201.0;
const LABELS: [&str; 3] = ["self-hosted", "linux", "gpu-large"];
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_mins(2);

/// Cost of each measured run.
#[derive(Default)]
struct Figures {
    requests: Vec<f64>,
    /// Seconds of the comparison.
    comparison: Vec<f64>,
    /// Seconds until the drift checks are done as well.
    with_checks: Vec<f64>,
}

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let deployment = environment.deployment("sync", 8)?;
    deployment.start_api().await?.stop().await?;
    deployment.create_callers().await?;
    let mut postgres = PgConnection::connect(&deployment.database_url).await?;
    remove_all_runners(&environment.twin)?;
    let mut runners = create_runners(&environment.twin, &mut postgres, "fleet", RUNNERS).await?.into_iter();
    let (mut worker, scheduler) = (deployment.start_worker()?, deployment.start_scheduler()?);
    worker.wait_for("working").await?;
    // The first run has no earlier state to compare with, so it does not count.
    wait_for_seconds(&mut postgres, COMPARISON_SECONDS).await?;
    let mut figures = Figures::default();
    for _ in 0..scale.repetitions {
        let changed: Vec<Runner> = runners.by_ref().take(CHANGED).collect();
        figures.measure_once(&deployment, &mut postgres, &changed).await?;
    }
    let memory = scheduler.peak_memory()?;
    scheduler.stop().await?;
    worker.stop().await?;
    postgres.close().await?;
    remove_all_runners(&environment.twin)?;
    figures.report(memory, report);
    Ok(())
}

impl Figures {
    async fn measure_once(
        &mut self,
        deployment: &Deployment<'_>,
        postgres: &mut PgConnection,
        changed: &[Runner],
    ) -> anyhow::Result<()> {
        let twin = &deployment.environment().twin;
        for (nth, runner) in changed.iter().enumerate() {
            twin.set_runner(runner.id, change(nth))?;
        }
        let before = twin.summary().requests;
        let times = run_sync(postgres).await?;
        self.comparison.push(times.comparison);
        self.with_checks.push(times.with_checks);
        let requests = u32::try_from(twin.summary().requests - before)?;
        self.requests.push(f64::from(requests));
        let found = "SELECT count(*) FROM runner_events WHERE at > (SELECT attempted_at FROM sync_status)";
        let found: i64 = sqlx::query_scalar(found).fetch_one(&mut *postgres).await?;
        ensure!(found == i64::try_from(CHANGED)?, "{found} of {CHANGED} changes were found");
        Ok(())
    }

    fn report(&self, memory: f64, report: &mut Report) {
        let name = |figure: &str| format!("sync of {RUNNERS}, 1 % changed: {figure}");
        report.push(Row::new(name("requests"), "", &self.requests).target(Target::AtMost(MAX_REQUESTS)));
        report.push(Row::new(name("comparison"), "s", &self.comparison));
        report.push(Row::new(name("with checks"), "s", &self.with_checks).target(Target::AtMost(20.0)));
        report.push(Row::new("peak memory of the scheduler", "MB", &[memory]).target(Target::AtMost(100.0)));
    }
}

/// Returns the change of the nth changed runner; `create_runners` sets the state before it.
fn change(nth: usize) -> RunnerChange {
    match nth {
        nth if nth < TURNED => RunnerChange::online(),
        nth if nth < 2 * TURNED => RunnerChange::offline(),
        _ => RunnerChange::labels(["self-hosted", "linux", "anything"]),
    }
}

/// Seconds since a sync run began.
pub(crate) struct SyncTimes {
    /// Until the comparison was done.
    pub(crate) comparison: f64,
    /// Until its checks were done as well.
    pub(crate) with_checks: f64,
}

/// Triggers a sync run and waits until the run and its checks are done.
pub(crate) async fn run_sync(postgres: &mut PgConnection) -> anyhow::Result<SyncTimes> {
    let trigger = "UPDATE sync_status SET triggered_at = clock_timestamp(), last_sync_time = NULL";
    sqlx::query(trigger).execute(&mut *postgres).await?;
    let comparison = wait_for_seconds(postgres, COMPARISON_SECONDS).await?;
    let with_checks = wait_for_seconds(postgres, CHECKS_SECONDS).await?;
    Ok(SyncTimes { comparison, with_checks })
}

/// Removes the runners of earlier measurements from the twin.
pub(crate) fn remove_all_runners(twin: &Twin) -> anyhow::Result<()> {
    for runner in twin.runners() {
        twin.remove_runner(runner.id)?;
    }
    Ok(())
}

/// Creates `number` runners on the twin, named by `prefix` and their index, and a row for each.
pub(crate) async fn create_runners(
    twin: &Twin,
    postgres: &mut PgConnection,
    prefix: &str,
    number: u32,
) -> anyhow::Result<Vec<Runner>> {
    let (mut created, mut statuses) = (Vec::new(), Vec::new());
    for nth in 0..usize::try_from(number)? {
        let offline = nth % CHANGED < TURNED;
        let state = if offline { RunnerChange::offline() } else { RunnerChange::online() };
        statuses.push(if offline { "offline" } else { "active" });
        let labels = LABELS.map(str::to_owned).to_vec();
        let name = format!("{prefix}-{nth}");
        created.push(twin.create_runner(RunnerSpec { name, scope: None, labels, ephemeral: true, state })?);
    }
    let ids: Vec<Uuid> = created.iter().map(|_| Uuid::now_v7()).collect();
    let github: Vec<i64> = created.iter().map(|runner| runner.id.cast_signed()).collect();
    let names: Vec<&str> = created.iter().map(|runner| runner.name.as_str()).collect();
    let sql = "INSERT INTO runners (id, installation, team_id, owner_user, name, status, github_runner_id,
            runner_group_id, labels, created_at, updated_at, registered_at, offline_since)
        SELECT new.id, 'default', team_id, user_id, new.name, new.status, new.github, 1, $5, ago, ago, ago,
            CASE WHEN new.status = 'offline' THEN ago END
        FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) AS new(id, github, name, status),
            (SELECT team_id, user_id, now() - interval '1 hour' AS ago FROM team_members LIMIT 1) AS owner";
    let query = sqlx::query(sql).bind(ids).bind(github).bind(names).bind(statuses).bind(LABELS.to_vec());
    query.execute(postgres).await?;
    Ok(created)
}

/// Selects the seconds of the last sync run, or NULL while it runs.
pub(crate) const COMPARISON_SECONDS: &str = "SELECT CASE WHEN last_sync_time > attempted_at
    THEN extract(epoch FROM clock_timestamp() - attempted_at)::float8 END FROM sync_status";
/// Selects the seconds since the last sync run began, or no row while jobs are open.
const CHECKS_SECONDS: &str =
    "SELECT extract(epoch FROM clock_timestamp() - attempted_at)::float8 FROM sync_status
    WHERE NOT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)";

/// Waits until the query returns seconds, and returns them.
pub(crate) async fn wait_for_seconds(
    postgres: &mut PgConnection,
    query: &'static str,
) -> anyhow::Result<f64> {
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        let row = sqlx::query_scalar::<_, Option<f64>>(query).fetch_optional(&mut *postgres).await?;
        if let Some(seconds) = row.flatten() {
            return Ok(seconds);
        }
        sleep(POLL_INTERVAL).await;
    }
    None.context("the sync run does not end")
}
