//! GitHub requests per hour for runners that come and go.
//!
//! Between two sync runs, one runner of a hundred ends and another takes its place, without a webhook. A runner that two
//! runs do not list costs a check. The figure is the number of requests of a run and its checks, times the runs of an
//! hour. Provisions are not included.

use std::collections::VecDeque;

use anyhow::ensure;
use github_twin::{Runner, Twin};
use sqlx::{Connection, PgConnection};

use crate::{
    environment::{Deployment, Environment},
    report::{Report, Row, Target},
    scale::Scale,
    sync,
};

/// Number of runners, database name and Redis database of each measurement.
const MEASUREMENTS: [(u32, &str, u16); 2] = [(1_000, "churn_small", 11), (10_000, "churn_large", 12)];
/// One of this many runners ends between two runs.
const ENDED_ONE_IN: u32 = 100;
/// Runs before the measured ones: a runner is checked after the second run that does not list it.
const WARM_UP: usize = 3;
/// Runners on one page of GitHub's list.
const PAGE_SIZE: u32 = 100;
const HOUR_SECONDS: f64 = 3_600.0;

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let runs = HOUR_SECONDS / scheduler::SyncSettings::default().every.as_secs_f64();
    for (runners, database, redis) in MEASUREMENTS {
        let deployment = environment.deployment(database, redis)?;
        let requests = requests_of_runs(&deployment, runners, scale.repetitions).await?;
        let per_hour: Vec<f64> = requests.iter().map(|requests| f64::from(*requests) * runs).collect();
        let row = Row::new(format!("GitHub requests of {runners} runners, 1 % new a run"), "/h", &per_hour);
        // Every page and one more. A check and a confirmation per ended runner; simultaneous checks share confirmations.
        let max_requests = f64::from(runners / PAGE_SIZE + 1 + 2 * (runners / ENDED_ONE_IN)) * runs;
        report.push(row.target(Target::AtMost(max_requests)));
    }
    Ok(())
}

/// Returns the GitHub requests of each run and its checks.
async fn requests_of_runs(
    deployment: &Deployment<'_>,
    runners: u32,
    runs: usize,
) -> anyhow::Result<Vec<u32>> {
    let twin = &deployment.environment().twin;
    deployment.start_api().await?.stop().await?;
    deployment.create_callers().await?;
    let mut postgres = PgConnection::connect(&deployment.database_url).await?;
    sync::remove_all_runners(twin)?;
    let mut live: VecDeque<Runner> =
        sync::create_runners(twin, &mut postgres, "first", runners).await?.into();
    let (mut worker, scheduler) = (deployment.start_worker()?, deployment.start_scheduler()?);
    worker.wait_for("working").await?;
    sync::wait_for_seconds(&mut postgres, sync::COMPARISON_SECONDS).await?;
    let mut requests = Vec::new();
    for nth in 0..WARM_UP + runs {
        for runner in live.drain(..usize::try_from(runners / ENDED_ONE_IN)?) {
            twin.remove_runner(runner.id)?;
        }
        let names = format!("run-{nth}");
        live.extend(sync::create_runners(twin, &mut postgres, &names, runners / ENDED_ONE_IN).await?);
        let before = runner_requests(twin)?;
        sync::run_sync(&mut postgres).await?;
        requests.push(runner_requests(twin)? - before);
    }
    let deleted = "SELECT count(*) FROM runners WHERE status = 'deleted'";
    let deleted: i64 = sqlx::query_scalar(deleted).fetch_one(&mut postgres).await?;
    // Runners that ended before the last run were missing once only.
    let expected = i64::from(runners / ENDED_ONE_IN) * i64::try_from(WARM_UP + runs - 1)?;
    ensure!(deleted == expected, "{deleted} of {expected} ended runners were found");
    scheduler.stop().await?;
    worker.stop().await?;
    postgres.close().await?;
    sync::remove_all_runners(twin)?;
    Ok(requests.split_off(WARM_UP))
}

/// Returns the requests about runners so far, from the twin's ledger.
fn runner_requests(twin: &Twin) -> anyhow::Result<u32> {
    let summary = twin.summary();
    let about_runners = summary.by_operation.iter().filter(|(name, _)| name.contains("/actions/runners"));
    Ok(u32::try_from(about_runners.map(|(_, count)| count).sum::<u64>())?)
}
