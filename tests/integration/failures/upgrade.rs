//! Processes of this release on a database of another release.

use harness::{World, team_draft, wait_until};

use crate::exactly_once::Scene;

const NEWEST: &str =
    "UPDATE _sqlx_migrations SET success = $1 WHERE version = (SELECT max(version) FROM _sqlx_migrations)";

async fn mark_newest(world: &World, applied: bool) {
    sqlx::query(NEWEST).bind(applied).execute(world.sql()).await.unwrap();
}

#[tokio::test]
async fn workers_and_schedulers_wait_for_the_tables_they_need() {
    let scene = Scene::with(World::builder(), team_draft("red")).await;
    let world = &scene.world;
    mark_newest(world, false).await;
    let asked = scene.request_runner().await;
    let mut parts = ["worker", "scheduler"].map(|word| world.program(word, &[]));
    for part in &parts {
        wait_until("it logs what it waits for", || async {
            part.output().contains("the database is older than this version")
        })
        .await;
    }
    assert!(parts.iter_mut().all(harness::Program::runs), "an orchestrator need not start them again");
    let untouched = "SELECT count(*) FROM jobs WHERE state = 'queued' AND fence = 0";
    assert_eq!(world.count(untouched).await, 1);
    assert_eq!(world.count("SELECT count(*) FROM scheduler_leases").await, 0);
    assert!(world.twin.ledger().entries.is_empty());

    mark_newest(world, true).await;
    scene.wait_for_success(asked.job).await;
    for part in parts {
        part.stop().await;
    }

    mark_newest(world, false).await;
    let waiting = world.program("worker", &[]);
    wait_until("it waits", || async { waiting.output().contains("older than this version") }).await;
    waiting.stop().await;
}

#[tokio::test]
async fn database_of_a_newer_release_is_served() {
    let scene = Scene::with(World::builder(), team_draft("red")).await;
    let world = &scene.world;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'of a newer release', true, '', 0)";
    sqlx::query(newer).execute(world.sql()).await.unwrap();
    let parts = ["api", "worker", "scheduler"].map(|word| world.program(word, &[]));
    let api = parts[0].address().await;
    let asked = world
        .ask_at(api, "POST", "/runners/jit", &scene.ada)
        .json(&harness::provision_body("ci"))
        .send()
        .await;
    let job = asked.assert_status(202).body["job_id"].as_str().unwrap().parse().unwrap();
    scene.wait_for_success(job).await;
    for part in parts {
        part.stop().await;
    }
}
