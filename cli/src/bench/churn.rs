//! GitHub requests an hour for fleets whose runners come and go.
//!
//! Between two sync runs one runner of a hundred ends, as ephemeral runners do, and another one comes in its place; no
//! webhook says so. A runner that two runs do not list costs a check. What a run and its checks ask of GitHub, times the
//! runs of an hour, is the cost of the fleet; provisions are not in it.

use std::collections::VecDeque;

use anyhow::ensure;
use github_twin::{Runner, Twin};
use sqlx::{Connection, PgConnection};

use super::{
    Scale,
    report::{Report, Row, Target},
    sync,
    world::{Site, World},
};

/// Runners, and where their site is.
const FLEETS: [(u32, &str, u16); 2] = [(1_000, "churn_small", 11), (10_000, "churn_large", 12)];
/// One of so many runners ends between two runs.
const SHARE: u32 = 100;
/// Runs before those that count: a runner is checked after the second run that does not list it.
const WARM_UP: usize = 3;
/// Runners of one page of GitHub's list.
const PAGE: u32 = 100;
const HOUR: f64 = 3_600.0;

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let runs = HOUR / scheduler::SyncSettings::default().every.as_secs_f64();
    for (runners, database, redis) in FLEETS {
        let site = world.site(database, redis)?;
        let requests = requests_of_runs(&site, runners, scale.repetitions).await?;
        let an_hour: Vec<f64> = requests.iter().map(|requests| f64::from(*requests) * runs).collect();
        let row = Row::new(format!("GitHub requests of {runners} runners, 1 % new a run"), "/h", &an_hour);
        // Every page, one over, and of each runner that ended a check and a confirmation, which checks at one time share.
        let most = f64::from(runners / PAGE + 1 + 2 * (runners / SHARE)) * runs;
        report.push(row.target(Target::AtMost(most)));
    }
    Ok(())
}

/// Returns what each run and its checks asked of GitHub.
async fn requests_of_runs(site: &Site<'_>, runners: u32, runs: usize) -> anyhow::Result<Vec<u32>> {
    let twin = &site.world().twin;
    site.api().await?.stop().await?;
    site.callers().await?;
    let mut postgres = PgConnection::connect(&site.world().database_url(&site.database)).await?;
    sync::empty(twin)?;
    let mut fleet: VecDeque<Runner> = sync::seed(twin, &mut postgres, "first", runners).await?.into();
    let (mut worker, scheduler) = (site.worker()?, site.scheduler()?);
    worker.wait_for("working").await?;
    sync::done(&mut postgres, sync::PASSED).await?;
    let mut requests = Vec::new();
    for nth in 0..WARM_UP + runs {
        for runner in fleet.drain(..usize::try_from(runners / SHARE)?) {
            twin.remove_runner(runner.id)?;
        }
        let names = format!("run-{nth}");
        fleet.extend(sync::seed(twin, &mut postgres, &names, runners / SHARE).await?);
        let before = asked(twin)?;
        sync::run(&mut postgres).await?;
        requests.push(asked(twin)? - before);
    }
    let gone = "SELECT count(*) FROM runners WHERE status = 'deleted'";
    let gone: i64 = sqlx::query_scalar(gone).fetch_one(&mut postgres).await?;
    // The last run was the first that did not list the last ones.
    let expected = i64::from(runners / SHARE) * i64::try_from(WARM_UP + runs - 1)?;
    ensure!(gone == expected, "{gone} runners of {expected} that ended were found");
    scheduler.stop().await?;
    worker.stop().await?;
    postgres.close().await?;
    sync::empty(twin)?;
    Ok(requests.split_off(WARM_UP))
}

/// Requests about runners so far, by the twin's ledger.
fn asked(twin: &Twin) -> anyhow::Result<u32> {
    let summary = twin.summary();
    let about_runners = summary.by_operation.iter().filter(|(name, _)| name.contains("/actions/runners"));
    Ok(u32::try_from(about_runners.map(|(_, count)| count).sum::<u64>())?)
}
