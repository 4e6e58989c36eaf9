//! PostgreSQL restarted under real processes, or frozen.

use std::time::Duration;

use devstack::Server;
use github_twin::FaultKind;
use harness::{World, eventually, team_draft, wait_until};
use serde_json::json;
use sqlx::migrate::Migrate;

use crate::exactly_once::Scene;

const HOLDER: &str = "SELECT holder FROM scheduler_leases WHERE expires_at > clock_timestamp()";

/// More connections than a pool of this test has. The pool uses them in turn, and each broken one costs one response.
const CONNECTIONS: usize = 20;

#[tokio::test]
async fn callers_get_retry_after_and_every_process_recovers() {
    let lease = Duration::from_secs(3);
    let scene = Scene::with(World::builder().own_servers().lease(lease), team_draft("red")).await;
    let world = &scene.world;
    let root = world.admin().await;
    let mut parts = ["api", "worker", "scheduler"].map(|word| world.program(word, &[]));
    let api = parts[0].address().await;
    let leader = || async { sqlx::query_scalar::<_, String>(HOLDER).fetch_optional(world.sql()).await.ok()? };
    let led = eventually("a leader", leader).await;
    scene.fault_jit_calls(FaultKind::Latency { ms: 500 }, 1);
    let asked = scene.request_runner().await;
    world.fault_consumed().await;

    world.servers(|stack| stack.halt(Server::Postgres)).await;
    let wish = harness::provision_body("ci");
    for _ in 0..3 {
        let refused = world.ask_at(api, "POST", "/runners/jit", &scene.ada).json(&wish).send().await;
        let refused = refused.refused(503, "database_unavailable");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    world.servers(|stack| stack.restart(Server::Postgres)).await;

    let accepted = eventually("normal service", || async {
        let answer = world.ask_at(api, "POST", "/runners/jit", &scene.ada).json(&wish).send().await;
        (answer.status == 202).then_some(answer)
    })
    .await;
    eventually("every connection is a new one", || async {
        for _ in 0..CONNECTIONS {
            if world.get("/auth/me", &scene.ada).await.status != 200 {
                return None;
            }
        }
        Some(())
    })
    .await;
    let next = accepted.body["job_id"].as_str().unwrap().parse().unwrap();
    scene.wait_for_success(next).await;
    scene.wait_for_success(asked.job).await;
    scene.delivered_config(&asked).await;
    for part in &mut parts {
        assert!(part.runs(), "no process of ours had to be started again");
    }

    assert_eq!(eventually("the leader continues", leader).await, led);
    let passes = "SELECT count(*) FROM sync_status WHERE last_sync_time > triggered_at";
    world.post("/admin/sync/trigger", &root, &json!({})).await.assert_status(202);
    wait_until("it runs a sync", || async { world.count(passes).await == 1 }).await;
}

#[tokio::test]
async fn frozen_database_blocks_no_slot_and_counts_no_rescue() {
    let brief = Duration::from_secs(1);
    let builder = World::builder().own_servers().concurrency(1).timeouts(brief, 2 * brief);
    let scene = Scene::with(builder, team_draft("red")).await;
    let world = &scene.world;
    scene.fault_jit_calls(FaultKind::Latency { ms: 500 }, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    world.fault_consumed().await;
    world.servers(|stack| stack.pause(Server::Postgres)).await;
    wait_until("the worker has returned the job to the queue", || async {
        let standing = world.queue().position(asked.job.into()).await.unwrap();
        matches!(standing.map(|standing| standing.place), Some(queue::JobPlace::Delayed { .. }))
    })
    .await;
    assert_eq!(scene.github_runner_names().len(), 1, "GitHub had answered");

    // Progress without a restart: no worker has died.
    scene.add_worker();
    world.servers(|stack| stack.resume(Server::Postgres)).await;
    scene.wait_for_success(asked.job).await;
    let rescues = "SELECT rescues::text FROM jobs WHERE id = $1";
    assert_eq!(world.text(rescues, asked.job).await, "0");
    let name = scene.delivered_config(&asked).await;
    scene.reap_orphans().await;
    assert_eq!(scene.github_runner_names(), [name], "runners that could not be recorded are removed");
}

#[tokio::test]
async fn api_that_migrates_while_the_database_restarts_starts_afterwards() {
    let world = World::builder().own_servers().workers(0).start().await;
    let mut migrating = world.sql().acquire().await.unwrap();
    migrating.lock().await.unwrap();
    let mut api = world.program("api", &[("DATABASE_URL", world.database().url())]);
    wait_until("it migrates", || async { api.output().contains("another process is migrating") }).await;

    world.servers(|stack| stack.halt(Server::Postgres)).await;
    wait_until("it waits", || async { api.output().contains("waiting for the database") }).await;
    assert!(api.runs());
    world.servers(|stack| stack.restart(Server::Postgres)).await;

    api.address().await;
    assert_eq!(api.output().matches("waiting for the database").count(), 1);
    api.stop().await;
}
