//! Workers as admins see them, and draining of one.

use github_twin::{Fault, FaultKind};
use harness::{World, eventually, provision_body, wait_until};
use serde_json::{Value, json};

use super::Scene;

/// Returns a worker that is alive, once it satisfies the condition.
async fn worker(scene: &Scene, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually("the worker is as expected", || async {
        let body = scene.admin_get("/admin/workers").await;
        let found = body["workers"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
        found.filter(|one| fits(one))
    })
    .await
}

#[tokio::test]
async fn worker_shows_where_it_runs_and_what_it_does() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    world.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Latency { ms: 3000 }));
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    world.keep_running(world.start_worker());
    let shown = worker(&scene, "worker-0", |one| one["jobs"] != json!([])).await;
    assert_eq!(shown["lanes"], json!(["provision", "deprovision", "drift"]));
    assert_eq!((&shown["installations"], &shown["draining"]), (&json!(["default"]), &json!(false)));
    assert!(shown["host"].as_str().is_some_and(|host| !host.is_empty()), "{shown}");
    assert_eq!(shown["jobs"][0]["job_id"], json!(asked.job));
    assert_eq!(shown["jobs"][0]["kind"], "provision");
    world.until_final(&scene.ada, asked.job).await;
    worker(&scene, "worker-0", |one| one["jobs"] == json!([])).await;
}

#[tokio::test]
async fn drained_worker_ends_its_job_and_takes_no_more() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    world.keep_running(world.start_worker());
    worker(&scene, "worker-0", |one| one["alive"] == true).await;
    let drain = "/admin/workers/worker-0/drain";
    let body = json!({ "reason": "new kernel" });
    world.post(drain, &scene.ada, &body).await.refused(403, "admin_required");
    let too_much = json!({ "reason": "x".repeat(501) });
    let refused = world.post(drain, &scene.root, &too_much).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/reason"]);
    world.post(drain, &scene.root, &body).await.assert_status(202);
    world.ask("POST", drain).by(&scene.root).send().await.assert_status(202);
    world.post("/admin/workers/worker-9/drain", &scene.root, &body).await.refused(404, "not_found");
    let shown = worker(&scene, "worker-0", |one| one["draining"] == true).await;
    assert_eq!(
        (&shown["drain_reason"], &shown["drain_requested_by"]),
        (&body["reason"], &json!("root@example.com"))
    );

    // Jobs wait as soon as the worker has read the request; the verdict names the worker that was last seen.
    let stopped = wait_until_jobs_wait(&scene).await;
    let verdict = scene.admin_get("/admin/verdict").await;
    assert_eq!((&verdict["code"], &verdict["level"]), (&json!("no_worker"), &json!("stopped")));
    assert!(verdict["sentence"].as_str().unwrap().contains("worker-0"), "{verdict}");
    world.keep_running(world.start_worker());
    assert_eq!(world.until_final(&scene.ada, stopped).await["state"], "succeeded");
    let log = scene.admin_get("/audit-logs?event_type=worker.drain").await;
    assert_eq!((&log["total"], &log["logs"][0]["event_data"]["worker"]), (&json!(2), &json!("worker-0")));
}

/// Requests runners until one of them is not taken by any worker. Returns its job.
async fn wait_until_jobs_wait(scene: &Scene) -> uuid::Uuid {
    let world = &scene.world;
    wait_until("the worker has read the request", || async {
        harness::logs::recorded().contains("an admin drains this worker")
    })
    .await;
    let asked = world.provision(&scene.ada, provision_body("ci")).await;
    assert_eq!(world.job(&scene.ada, asked.job).await["state"], "queued");
    asked.job
}
