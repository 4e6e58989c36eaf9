//! Redis failover while jobs wait and run: to a replica promoted by Sentinels, within a cluster, and with connections
//! to
//! the demoted primary left open.

use devstack::{Layout, RedisGroup};
use futures::future::join_all;
use harness::{World, provision_body, team_draft, wait_until};

const JOBS: usize = 40;

async fn ready(world: &World) -> u16 {
    world.request("GET", "/health/ready").send().await.status
}

/// Checks that nothing is lost or created twice, and that jobs run again without a restart of the service.
async fn check_survival<F>(layout: Layout, fail: F)
where
    F: FnOnce(&mut RedisGroup) -> Result<(), devstack::Error> + Send + 'static,
{
    let world = World::builder().redis(layout).workers(2).concurrency(8).scheduler().start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    wait_until("the queue is marked", || async {
        world.queue().epoch().await.is_ok_and(|mark| mark.is_some())
    })
    .await;
    let asked = join_all((0..JOBS).map(|_| world.provision(&ada, provision_body("ci")))).await;
    let done = "SELECT count(*) FROM jobs WHERE state = 'succeeded'";
    wait_until("some are done", || async { world.count(done).await >= 10 }).await;
    world.redis_group(fail).await;
    // Accepted although no Redis server accepts writes at this moment.
    let late = world.provision(&ada, provision_body("ci")).await;
    for one in asked.iter().chain([&late]) {
        assert_eq!(world.until_final(&ada, one.job).await["state"], "succeeded");
    }
    let made = world.twin.ledger();
    assert!(made.violations.is_empty(), "{:?}", made.violations);
    let delivered = "SELECT count(DISTINCT job_id) FROM github_calls WHERE state = 'delivered'";
    assert_eq!(world.count(delivered).await, i64::try_from(JOBS + 1).unwrap());
    let more = "SELECT count(*) FROM (SELECT job_id FROM github_calls WHERE state = 'delivered'
        GROUP BY job_id HAVING count(*) > 1) AS twice";
    assert_eq!(world.count(more).await, 0, "one config for each job");
    wait_until("readiness shows the new primary", || async { ready(&world).await == 200 }).await;
}

#[tokio::test]
async fn sentinels_promote_the_replica_of_a_dead_primary() {
    check_survival(Layout::Sentinel, |group| {
        let primary = group.primaries()[0];
        group.kill(primary)
    })
    .await;
}

#[tokio::test]
async fn cluster_replaces_a_dead_primary() {
    check_survival(Layout::Cluster, |group| {
        let owner = group
            .primaries()
            .into_iter()
            .find(|port| group.ask(*port, &["DBSIZE"]).is_ok_and(|keys| keys != "0"));
        group.kill(owner.unwrap())
    })
    .await;
}

#[tokio::test]
async fn demoted_primary_with_open_connections_is_not_ready_until_it_is_primary_again() {
    let world = World::builder().redis(Layout::Replicated).scheduler().start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    world
        .redis_group(|group| {
            let [primary, replica] = group.ports()[..] else { panic!("two servers") };
            group.ask(replica, &["REPLICAOF", "NO", "ONE"])?;
            group.ask(primary, &["REPLICAOF", "127.0.0.1", &replica.to_string()]).map(drop)
        })
        .await;
    wait_until("it is not ready", || async { ready(&world).await == 503 }).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    assert_eq!(world.job(&ada, asked.job).await["state"], "queued");
    world
        .redis_group(|group| {
            let primary = group.ports()[0];
            group.ask(primary, &["REPLICAOF", "NO", "ONE"]).map(drop)
        })
        .await;
    assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
    wait_until("it is ready", || async { ready(&world).await == 200 }).await;
}
