//! One pass over 10,000 runners of ours, 1 % of them changed since the last.
//!
//! Of 100 changed ones 40 have gone offline, 40 have come online, and the labels of 20 are others: each of these is
//! looked at by a job of its own and, its team being as strict as by default, removed.

use std::time::Duration;

use anyhow::{Context, ensure};
use github_twin::{Runner, RunnerChange, RunnerSpec, Twin};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    Scale,
    report::{Report, Row, Target},
    world::{Site, World},
};

const FLEET: u32 = 10_000;
/// Changed before each pass: as many go offline as come online, the labels of the rest change.
const CHANGED: usize = 100;
const TURNED: usize = 40;
/// Pages, one over, and what changed.
const REQUESTS: f64 = 201.0;
const LABELS: [&str; 3] = ["self-hosted", "linux", "gpu-large"];
const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(2);

/// What one pass took.
#[derive(Default)]
struct Figures {
    requests: Vec<f64>,
    snapshot: Vec<f64>,
    whole: Vec<f64>,
}

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let site = world.site("sync", 8)?;
    site.api().await?.stop().await?;
    site.callers().await?;
    let mut postgres = PgConnection::connect(&world.database_url(&site.database)).await?;
    empty(&world.twin)?;
    let mut fleet = seed(&world.twin, &mut postgres, "fleet", FLEET).await?.into_iter();
    let (mut worker, scheduler) = (site.worker()?, site.scheduler()?);
    worker.wait_for("working").await?;
    // The first pass has nothing to go by; it is not counted.
    done(&mut postgres, PASSED).await?;
    let mut figures = Figures::default();
    for _ in 0..scale.repetitions {
        let changed: Vec<Runner> = fleet.by_ref().take(CHANGED).collect();
        figures.take(&site, &mut postgres, &changed).await?;
    }
    let memory = scheduler.most_resident()?;
    scheduler.stop().await?;
    worker.stop().await?;
    postgres.close().await?;
    empty(&world.twin)?;
    figures.report(memory, report);
    Ok(())
}

impl Figures {
    async fn take(
        &mut self,
        site: &Site<'_>,
        postgres: &mut PgConnection,
        changed: &[Runner],
    ) -> anyhow::Result<()> {
        let twin = &site.world().twin;
        for (nth, runner) in changed.iter().enumerate() {
            twin.set_runner(runner.id, change(nth))?;
        }
        let before = twin.summary().requests;
        let (snapshot, whole) = run(postgres).await?;
        self.snapshot.push(snapshot);
        self.whole.push(whole);
        let asked = u32::try_from(twin.summary().requests - before)?;
        self.requests.push(f64::from(asked));
        let told = "SELECT count(*) FROM runner_events WHERE at > (SELECT attempted_at FROM sync_status)";
        let told: i64 = sqlx::query_scalar(told).fetch_one(&mut *postgres).await?;
        ensure!(told == i64::try_from(CHANGED)?, "{told} of {CHANGED} changes were found");
        Ok(())
    }

    fn report(&self, memory: f64, report: &mut Report) {
        let name = |what: &str| format!("sync of {FLEET}, 1 % changed: {what}");
        report.push(Row::new(name("requests"), "", &self.requests).target(Target::AtMost(REQUESTS)));
        report.push(Row::new(name("snapshot"), "s", &self.snapshot));
        report.push(Row::new(name("with checks"), "s", &self.whole).target(Target::AtMost(20.0)));
        report.push(Row::new("most memory of the scheduler", "MB", &[memory]).target(Target::AtMost(100.0)));
    }
}

/// Even ones of the first stand offline before their change.
fn change(nth: usize) -> RunnerChange {
    match nth {
        nth if nth < TURNED => RunnerChange::online(),
        nth if nth < 2 * TURNED => RunnerChange::offline(),
        _ => RunnerChange::labels(["self-hosted", "linux", "anything"]),
    }
}

/// Has the scheduler compare the fleet now. Returns the seconds until it has, and until its checks are over.
pub(super) async fn run(postgres: &mut PgConnection) -> anyhow::Result<(f64, f64)> {
    let trigger = "UPDATE sync_status SET triggered_at = clock_timestamp(), last_sync_time = NULL";
    sqlx::query(trigger).execute(&mut *postgres).await?;
    Ok((done(postgres, PASSED).await?, done(postgres, CHECKED).await?))
}

/// Removes what other figures left on GitHub.
pub(super) fn empty(twin: &Twin) -> anyhow::Result<()> {
    for runner in twin.runners() {
        twin.remove_runner(runner.id)?;
    }
    Ok(())
}

/// Creates `number` runners on the twin, named by `prefix` and their number, and a row of each.
pub(super) async fn seed(
    twin: &Twin,
    postgres: &mut PgConnection,
    prefix: &str,
    number: u32,
) -> anyhow::Result<Vec<Runner>> {
    let (mut made, mut statuses) = (Vec::new(), Vec::new());
    for nth in 0..usize::try_from(number)? {
        let comes = nth % CHANGED < TURNED;
        let state = if comes { RunnerChange::offline() } else { RunnerChange::online() };
        statuses.push(if comes { "offline" } else { "active" });
        let labels = LABELS.map(str::to_owned).to_vec();
        let name = format!("{prefix}-{nth}");
        made.push(twin.create_runner(RunnerSpec { name, scope: None, labels, ephemeral: true, state })?);
    }
    let ids: Vec<Uuid> = made.iter().map(|_| Uuid::now_v7()).collect();
    let github: Vec<i64> = made.iter().map(|runner| runner.id.cast_signed()).collect();
    let names: Vec<&str> = made.iter().map(|runner| runner.name.as_str()).collect();
    let sql = "INSERT INTO runners (id, installation, team_id, owner_user, name, status, github_runner_id,
            runner_group_id, labels, created_at, updated_at, registered_at, offline_since)
        SELECT new.id, 'default', team_id, user_id, new.name, new.status, new.github, 1, $5, ago, ago, ago,
            CASE WHEN new.status = 'offline' THEN ago END
        FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) AS new(id, github, name, status),
            (SELECT team_id, user_id, now() - interval '1 hour' AS ago FROM team_members LIMIT 1) AS owner";
    let query = sqlx::query(sql).bind(ids).bind(github).bind(names).bind(statuses).bind(LABELS.to_vec());
    query.execute(postgres).await?;
    Ok(made)
}

/// Seconds since a run began, once it is over.
pub(super) const PASSED: &str = "SELECT CASE WHEN last_sync_time > attempted_at
    THEN extract(epoch FROM clock_timestamp() - attempted_at)::float8 END FROM sync_status";
const CHECKED: &str = "SELECT extract(epoch FROM clock_timestamp() - attempted_at)::float8 FROM sync_status
    WHERE NOT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)";

/// Waits until the query has an answer: seconds since the pass began.
pub(super) async fn done(postgres: &mut PgConnection, query: &'static str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let row = sqlx::query_scalar::<_, Option<f64>>(query).fetch_optional(&mut *postgres).await?;
        if let Some(seconds) = row.flatten() {
            return Ok(seconds);
        }
        sleep(LOOK).await;
    }
    None.context("the pass does not end")
}
