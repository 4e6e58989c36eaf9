//! History of a job: its starts, its waits and its calls, as admins and members see it.

use std::time::Duration;

use github_twin::{Fault, FaultKind};
use harness::{Accepted, World, provision_body, wait_until};
use serde_json::{Value, json};

use super::Scene;

impl Scene {
    /// Returns the job as an admin sees it.
    async fn shown(&self, asked: &Accepted) -> Value {
        self.admin_get(&format!("/jobs/{}", asked.job)).await
    }
}

/// Returns the kinds of the events.
fn kinds(job: &Value) -> Vec<&str> {
    job["events"].as_array().unwrap().iter().map(|event| event["what"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn job_that_runs_once_writes_no_row_of_history() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    world.until_final(&scene.ada, asked.job).await;
    let job = scene.shown(&asked).await;
    assert_eq!(kinds(&job), ["accepted", "started", "succeeded"]);
    assert_eq!((&job["events"][1]["worker"], &job["events"][1]["start"]), (&json!("worker-0"), &json!(1)));
    let times: Vec<&str> =
        job["events"].as_array().unwrap().iter().map(|event| event["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(world.count("SELECT count(*) FROM job_events").await, 0);

    let calls = job["calls"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["state"]), (1, &json!("delivered")));
    let ledger = world.twin.ledger();
    assert_eq!(ledger.of("POST", "generate-jitconfig").count(), 1);
    assert!(calls[0]["github_request_id"].as_str().is_some_and(|id| !id.is_empty()), "{job}");
}

#[tokio::test]
async fn member_sees_the_history_without_workers() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    let waiting = world.job(&scene.ada, asked.job).await;
    assert_eq!(kinds(&waiting)[0], "accepted");
    let job = world.until_final(&scene.ada, asked.job).await;
    assert_eq!(kinds(&job), ["accepted", "started", "succeeded"]);
    for event in job["events"].as_array().unwrap() {
        assert_eq!((&event["worker"], &event["start"]), (&Value::Null, &Value::Null), "{event}");
    }
    let list = world.get("/jobs", &scene.ada).await.assert_status(200).body;
    assert_eq!(list["jobs"][0].get("events"), None, "lists have no history");
}

#[tokio::test]
async fn failed_and_limited_starts_are_told_with_reason_and_request_id() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let limit = FaultKind::SecondaryLimit { status: 403, retry_after: Some(1) };
    world.twin.fault(Fault::once("POST", "generate-jitconfig", limit));
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    world.until_final(&scene.ada, asked.job).await;
    let job = scene.shown(&asked).await;
    let wanted = ["accepted", "started", "snoozed", "started"];
    assert_eq!(kinds(&job)[..4], wanted, "{job}");
    assert_eq!(kinds(&job).last(), Some(&"succeeded"));
    let snoozed = &job["events"][2];
    assert_eq!((&snoozed["detail"], &snoozed["start"]), (&json!("budget"), &json!(1)));
    assert!(snoozed["next_at"].as_str() >= snoozed["at"].as_str(), "{snoozed}");
    let calls = job["calls"].as_array().unwrap();
    assert_eq!(calls.first().map(|call| &call["state"]), Some(&json!("refused")), "{job}");
    for call in calls {
        assert!(call["github_request_id"].is_string(), "{call}");
    }
    let ids: Vec<&Value> = calls.iter().map(|call| &call["github_request_id"]).collect();
    assert_ne!(ids[0], ids[1], "each request has an id of its own");
}

#[tokio::test]
async fn death_of_a_worker_is_told_with_both_workers() {
    let scene = Scene::with(World::builder().workers(0).lease(Duration::from_secs(3))).await;
    let world = &scene.world;
    world.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Latency { ms: 20_000 }));
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    let dying = world.start_worker();
    world.fault_consumed().await;
    dying.kill().await;
    world.keep_running(world.start_worker());
    wait_until("the lease is over and another worker takes the job", || async {
        world.count("SELECT count(*) FROM jobs WHERE rescues = 1").await == 1
    })
    .await;
    world.until_final(&scene.ada, asked.job).await;
    let job = scene.shown(&asked).await;
    assert_eq!(kinds(&job)[..4], ["accepted", "started", "rescued", "started"], "{job}");
    assert_eq!(job["events"][2]["worker"], "worker-0");
    assert_eq!(job["events"][3]["worker"], "worker-1");
}

#[tokio::test]
async fn history_of_one_job_is_bounded() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    let mut conn = world.store().conn().await.unwrap();
    let long = "x".repeat(1000);
    for _ in 0..100 {
        let job = conn.jobs().start(asked.job.into(), "worker-9", false).await.unwrap().unwrap();
        let postponement = store::Postponement {
            delay: chrono::TimeDelta::zero(),
            why: domain::BlockedOn::Retry,
            count_as: store::Counter::Attempt,
            failure: Some(&long),
        };
        assert!(conn.jobs().postpone(&job, &postponement).await.unwrap());
    }
    assert_eq!(world.count("SELECT count(*) FROM job_events").await, 64);
    let job = scene.shown(&asked).await;
    let events = job["events"].as_array().unwrap();
    assert_eq!((events.len(), &events[1]["start"]), (1 + 2 * 64, &json!(37)), "the newest are kept");
    assert_eq!(events[128]["detail"].as_str().unwrap().len(), 300);
}

#[tokio::test]
async fn entity_tag_changes_with_the_outcome_of_a_call() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    world.until_final(&scene.ada, asked.job).await;
    let path = format!("/jobs/{}", asked.job);
    let first = world.get(&path, &scene.ada).await.assert_status(200);
    let tag = first.header("etag").to_owned();
    let same = world.ask("GET", &path).by(&scene.ada).header("if-none-match", &tag).send().await;
    assert_eq!(same.status, 304);
    world.change("UPDATE github_calls SET finished_at = NULL WHERE job_id = $1", asked.job).await;
    let other = world.ask("GET", &path).by(&scene.ada).header("if-none-match", &tag).send().await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn old_job_is_removed_with_its_history() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    let mut conn = world.store().conn().await.unwrap();
    for worker in ["worker-8", "worker-9"] {
        conn.jobs().start(asked.job.into(), worker, false).await.unwrap().unwrap();
    }
    drop(conn);
    assert_eq!(world.count("SELECT count(*) FROM job_events WHERE what = 'rescued'").await, 1);
    let gone = "UPDATE runners SET status = 'deleted', deleted_at = now() WHERE id = $1";
    world.change(gone, asked.runner).await;
    let over = "UPDATE jobs SET state = 'failed', finished_at = now() - interval '40 days' WHERE id = $1";
    world.change(over, asked.job).await;
    scheduler::prune::run(world.scheduler_parts()).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM job_events").await, 0);
}
