//! Wall clocks that are wrong by minutes: only the times in the logs change.
//!
//! The processes are real; a preloaded library shifts their clock.
#![cfg(target_os = "linux")]

use std::time::Duration;

use devstack::{ClockLibrary, Server, WrongClock};
use github_twin::ViolationKind;
use harness::{Program, World, eventually, provision_body, team_draft, wait_until};
use serde_json::{Value, json};

use crate::exactly_once::Scene;

const LEASE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn process_ten_minutes_slow_works_as_usual() {
    serves_as_usual(-600).await;
}

#[tokio::test]
async fn process_ten_minutes_fast_works_as_usual() {
    serves_as_usual(600).await;
}

async fn serves_as_usual(seconds: i64) {
    let scene = Scene::with(World::builder().lease(LEASE), team_draft("red")).await;
    let library = ClockLibrary::build(scene.world.folder()).unwrap();
    let wrong = library.environment(seconds);
    let wrong = wrong.each_ref().map(|(name, value)| (*name, value.to_str().unwrap()));
    let parts = ["api", "worker", "scheduler"].map(|word| scene.world.program(word, &wrong));
    parts[0].address().await;
    let log = parts[0].output();
    let logged = log.lines().find_map(|line| timestamp(&serde_json::from_str(line).ok()?)).unwrap();
    let now = runtime::Clock::System.now();
    assert!((logged - now).num_seconds().abs_diff(seconds) < 120, "its clock is wrong: {logged}");
    check_unaffected(&scene, &parts).await;
    for part in parts {
        part.stop().await;
    }
}

#[tokio::test]
async fn redis_ten_minutes_slow_delays_no_job() {
    store_with_wrong_clock_serves_as_usual(Server::Redis, -600).await;
}

#[tokio::test]
async fn redis_eight_minutes_fast_starts_no_job_early() {
    store_with_wrong_clock_serves_as_usual(Server::Redis, 480).await;
}

#[tokio::test]
async fn postgres_ten_minutes_slow_refuses_no_token_and_delays_no_job() {
    store_with_wrong_clock_serves_as_usual(Server::Postgres, -600).await;
}

#[tokio::test]
async fn postgres_eight_minutes_fast_accepts_no_expired_token_and_starts_no_job_early() {
    store_with_wrong_clock_serves_as_usual(Server::Postgres, 480).await;
}

async fn store_with_wrong_clock_serves_as_usual(server: Server, seconds: i64) {
    let clock = WrongClock { server, seconds };
    let scene = Scene::with(World::builder().lease(LEASE).wrong_clock(clock), team_draft("red")).await;
    let world = &scene.world;
    let off = (time_of(world, server).await - runtime::Clock::System.now()).num_seconds();
    assert!((off - seconds).abs() < 120, "its clock is wrong: {off}");
    let parts = ["api", "worker", "scheduler"].map(|word| world.program(word, &[]));
    let at = parts[0].address().await;
    check_unaffected(&scene, &parts).await;
    // Jobs requeued after the Redis outage start at their due time.
    world.servers(|stack| stack.halt(Server::Redis)).await;
    let asked = world.ask_at(at, "POST", "/runners/jit", &scene.ada).json(&provision_body("ci"));
    let job = asked.send().await.assert_status(202).body["job_id"].as_str().unwrap().parse().unwrap();
    world.servers(|stack| stack.restart(Server::Redis)).await;
    assert_eq!(scene.wait_for_success(job).await["attempts"], 1);
    for part in parts {
        part.stop().await;
    }
}

async fn time_of(world: &World, server: Server) -> chrono::DateTime<chrono::Utc> {
    if server == Server::Postgres {
        return world.store().now().await.unwrap();
    }
    let (seconds, _): (i64, i64) = world.redis().send_command("TIME", &[]).await;
    chrono::DateTime::from_timestamp(seconds, 0).unwrap()
}

/// Checks that tokens, times, a job, its config, a sync run and the scheduler's lease are unaffected.
async fn check_unaffected(scene: &Scene, parts: &[Program; 3]) {
    let world = &scene.world;
    let at = parts[0].address().await;
    let now = runtime::Clock::System.now();

    // One token was issued just now, the other one expires soon.
    for claims in [json!({}), json!({ "exp": now.timestamp() + 120 })] {
        let token = world.token(&claims_of(scene, claims));
        world.ask_at(at, "GET", "/auth/me", &token).send().await.assert_status(200);
    }
    let ended = world.token(&claims_of(scene, json!({ "exp": now.timestamp() - 120 })));
    world.ask_at(at, "GET", "/auth/me", &ended).send().await.refused(401, "token_expired");

    let asked = world
        .ask_at(at, "POST", "/runners/jit", &scene.ada)
        .json(&provision_body("ci"))
        .send()
        .await
        .assert_status(202);
    let job = asked.body["job_id"].as_str().unwrap().parse().unwrap();
    let done = scene.wait_for_success(job).await;
    assert_eq!((&done["attempts"], &done["error"]), (&json!(1), &Value::Null));
    let times = "SELECT (deadline_at - created_at = interval '15 min' AND created_at <= started_at
        AND started_at <= finished_at AND finished_at <= clock_timestamp()
        AND created_at > clock_timestamp() - interval '2 min')::text FROM jobs WHERE id = $1";
    assert_eq!(world.text(times, job).await, "true", "all times are the database's");
    world.credential(&scene.ada, job).await.assert_status(200);
    let hour = "SELECT (expires_at - registered_at BETWEEN interval '59 min' AND interval '61 min')::text
        FROM credentials JOIN jobs ON jobs.id = job_id JOIN runners ON runners.id = runner_id WHERE job_id = $1";
    assert_eq!(world.text(hour, job).await, "true");

    let passed = "SELECT count(*) FROM sync_status WHERE last_sync_result = 'ok'";
    wait_until("the scheduler runs a sync", || async { world.count(passed).await == 1 }).await;
    let holds_on = "SELECT count(*) FROM scheduler_leases
        WHERE expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '10 s'";
    eventually("it leads", || async { (world.count(holds_on).await == 1).then_some(()) }).await;
    let violations = world.twin.ledger().violations;
    assert!(violations.iter().all(|one| one.kind == ViolationKind::BadToken), "{violations:?}");
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status = 'pending'").await, 1);
}

fn claims_of(scene: &Scene, mut more: Value) -> Value {
    more["sub"] = json!(scene.ada.sub);
    more["email"] = json!(scene.ada.email);
    more
}

fn timestamp(line: &Value) -> Option<chrono::DateTime<chrono::Utc>> {
    line["timestamp"].as_str()?.parse().ok()
}
