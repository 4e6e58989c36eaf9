//! Redis restarted or flushed while jobs wait and run.

use std::time::Duration;

use devstack::{Server, Stack};
use futures::future::join_all;
use github_twin::{Bucket, FaultKind, Limits};
use harness::{World, provision_body, team_draft, wait_until};
use queue::BudgetSettings;

use crate::exactly_once::Scene;

const JOBS: usize = 50;
/// Calls that the budget allows at once when its usage was lost.
const BURST: u32 = 10;

/// GitHub's limits on a fast clock: 20 writes in two seconds, plus one burst.
fn limits() -> Limits {
    Limits {
        points: Some(Bucket::new(100 + 5 * BURST, 2)),
        registrations: Some(Bucket::new(40 + BURST, 4)),
        grace_ms: 0,
        ..Limits::github()
    }
}

fn budget() -> BudgetSettings {
    BudgetSettings {
        points_per_minute: 100,
        minute: Duration::from_secs(2),
        registrations: 40,
        registrations_period: Duration::from_secs(4),
        ..BudgetSettings::default()
    }
}

/// Checks that no job is lost or doubled, jobs run again, and GitHub receives at most one small burst too many.
async fn check_survival<F>(loss: F)
where
    F: FnOnce(&mut Stack) -> Result<(), devstack::Error> + Send + 'static,
{
    let builder = World::builder().own_servers().workers(2).concurrency(8).scheduler();
    let world = builder.limits(limits()).budget(budget()).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    wait_until("the queue is marked", || async { world.queue().epoch().await.unwrap().is_some() }).await;
    let asked = join_all((0..JOBS).map(|_| world.provision(&ada, provision_body("ci")))).await;
    let done = "SELECT count(*) FROM jobs WHERE state = 'succeeded'";
    wait_until("some are done", || async { world.count(done).await >= 10 }).await;
    world.servers(loss).await;
    let late = world.provision(&ada, provision_body("ci")).await;
    for one in asked.iter().chain([&late]) {
        assert_eq!(world.until_final(&ada, one.job).await["state"], "succeeded");
    }
    let ledger = world.twin.ledger();
    assert!(ledger.violations.is_empty(), "{:?}", ledger.violations);
    assert_eq!(ledger.of("POST", "generate-jitconfig").count(), JOBS + 1, "one call for each runner");
    let delivered = "SELECT count(DISTINCT job_id) FROM github_calls WHERE state = 'delivered'";
    assert_eq!(world.count(delivered).await, i64::try_from(JOBS + 1).unwrap());
    assert_eq!(world.count("SELECT count(*) FROM github_calls").await, i64::try_from(JOBS + 1).unwrap());
}

#[tokio::test]
async fn redis_restart_loses_and_doubles_no_job() {
    check_survival(|stack| stack.restart(Server::Redis)).await;
}

#[tokio::test]
async fn redis_crash_loses_and_doubles_no_job() {
    check_survival(|stack| {
        stack.kill(Server::Redis)?;
        stack.restart(Server::Redis)
    })
    .await;
}

#[tokio::test]
async fn redis_flush_loses_and_doubles_no_job() {
    check_survival(|stack| {
        let mut redis = redis::Client::open(stack.redis_url(0)).unwrap().get_connection().unwrap();
        redis::cmd("FLUSHALL").exec(&mut redis).unwrap();
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn lease_that_could_not_be_renewed_counts_no_rescue() {
    let builder = World::builder().own_servers().lease(Duration::from_secs(3));
    let scene = Scene::with(builder, team_draft("red")).await;
    let world = &scene.world;
    scene.fault_jit_calls(FaultKind::Latency { ms: 10_000 }, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    world.fault_consumed().await;
    world.servers(|stack| stack.pause(Server::Redis)).await;
    let given_back = "SELECT count(*) FROM jobs WHERE state = 'queued' AND snoozes = 1 AND attempts = 0";
    wait_until("its worker stops and gives the row back", || async { world.count(given_back).await == 1 })
        .await;
    world.servers(|stack| stack.resume(Server::Redis)).await;
    assert_eq!(scene.wait_for_success(asked.job).await["attempts"], 1);
    assert_eq!(world.text("SELECT rescues::text FROM jobs WHERE id = $1", asked.job).await, "0");
    scene.delivered_config(&asked).await;
}
