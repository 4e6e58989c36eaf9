//! Leadership among several schedulers, and its transfer when the leader is gone.

use harness::{World, eventually};
use scheduler::Leadership;

const HOLDER: &str = "SELECT holder FROM scheduler_leases WHERE expires_at > clock_timestamp()";

async fn holder(world: &World) -> Option<String> {
    sqlx::query_scalar(HOLDER).fetch_optional(world.sql()).await.unwrap()
}

#[tokio::test]
async fn one_scheduler_leads_until_its_lease_ends() {
    let world = World::builder().workers(0).start().await;
    let (one, two) = (Leadership::new("one"), Leadership::new("two"));
    assert!(one.acquire(world.store()).await.unwrap() && !two.acquire(world.store()).await.unwrap());
    assert!(one.leads() && !two.leads());
    sqlx::query("UPDATE scheduler_leases SET expires_at = now()").execute(world.sql()).await.unwrap();
    assert!(two.acquire(world.store()).await.unwrap());
    assert!(one.leads(), "it leads until its next renewal or the end of its lease by its own clock");
    assert!(!one.acquire(world.store()).await.unwrap() && !one.leads());
    assert_eq!(world.count("SELECT term FROM scheduler_leases").await, 2);
}

#[tokio::test]
async fn lease_outlives_connections_to_the_database() {
    let world = World::builder().workers(0).start().await;
    let lead = Leadership::new("one");
    assert!(lead.acquire(world.store()).await.unwrap());
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(cut).execute(world.sql()).await.unwrap();
    assert!(lead.leads());
    eventually("a renewal", || async { lead.acquire(world.store()).await.ok() }).await;
    assert_eq!(world.count("SELECT term FROM scheduler_leases").await, 1);
}

#[tokio::test]
async fn another_scheduler_takes_over_from_a_killed_leader() {
    let world = World::builder().workers(0).start().await;
    let leader = world.start_scheduler();
    let first = eventually("a leader", || holder(&world)).await;
    world.keep_running(world.start_scheduler());
    let passed = "SELECT count(*) FROM sync_status WHERE last_sync_result = 'ok'";
    harness::wait_until("a pass", || async { world.count(passed).await == 1 }).await;
    leader.kill().await;
    eventually("another leader", || async { holder(&world).await.filter(|name| *name != first) }).await;
    assert_eq!(world.count("SELECT term FROM scheduler_leases").await, 2);
}

#[tokio::test]
async fn runners_are_watched_after_the_leading_process_is_killed() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let leader = world.program("scheduler", &[]);
    let first = eventually("a leader", || holder(&world)).await;
    let heir = world.program("scheduler", &[]);
    let passed = "SELECT count(*) FROM sync_status WHERE last_sync_result = 'ok'
        AND last_sync_time > coalesce(triggered_at, '-infinity')";
    harness::wait_until("a pass", || async { world.count(passed).await == 1 }).await;
    leader.kill();
    world.post("/admin/sync/trigger", &root, &serde_json::json!({})).await.assert_status(202);
    eventually("another leader", || async { holder(&world).await.filter(|name| *name != first) }).await;
    harness::wait_until("it runs the next sync", || async { world.count(passed).await == 1 }).await;
    heir.stop().await;
    assert_eq!(holder(&world).await, None);
}

#[tokio::test]
async fn stopped_leader_releases_the_lease_at_once() {
    let world = World::builder().workers(0).start().await;
    let leader = world.start_scheduler();
    eventually("a leader", || holder(&world)).await;
    leader.stop().await;
    assert_eq!(holder(&world).await, None);
}
