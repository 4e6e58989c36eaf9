//! Decisions about many failed jobs at once.

use harness::{ApiResponse, World, provision_body};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Scene;

impl Scene {
    async fn send(&self, action: &str, body: &Value) -> ApiResponse {
        self.world.post(&format!("/admin/batch/{action}"), &self.root, body).await
    }

    async fn done(&self, action: &str, body: &Value) -> Value {
        let batch = self.send(action, body).await.assert_status(200).body;
        assert!(batch["dry_run"] == true || batch["state"] == "done", "{batch}");
        batch
    }

    async fn invalid(&self, action: &str, body: &Value, pointer: &str) {
        let refused = self.send(action, body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer], "{}", refused.text);
    }
}

/// Returns one member of each item of a batch.
fn members<'b>(batch: &'b Value, name: &str) -> Vec<&'b Value> {
    batch["details"].as_array().unwrap().iter().map(|item| &item[name]).collect()
}

#[tokio::test]
async fn failed_jobs_of_one_cause_are_retried_and_counted_at_the_start() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let first = scene.refused_by_github("Group is unknown").await.job;
    scene.refused_by_github("Label is bad").await;
    let detail = scene.failures().await[1]["detail"].clone();
    let preview = json!({ "comment": "", "dry_run": true, "code": "github_refused" });
    assert_eq!(scene.done("retry-jobs", &preview).await["total"], 2);

    // One more fails between the preview and the click.
    let second = scene.refused_by_github("Group is unknown").await.job;
    let mut body = json!({ "comment": "the group exists again", "code": "github_refused", "detail": detail,
        "team": "red", "expected_count": 1 });
    scene.invalid("retry-jobs", &body, "/expected_count").await;
    body["expected_count"] = json!(2);
    let batch = scene.done("retry-jobs", &body).await;
    assert_eq!((&batch["affected_count"], &batch["failed_count"]), (&json!(2), &json!(0)), "{batch}");
    assert_eq!(members(&batch, "failed_job_id"), [&json!(first), &json!(second)]);
    for job in members(&batch, "job_id") {
        let job = job.as_str().unwrap().parse().unwrap();
        assert_eq!(world.until_final(&scene.ada, job).await["state"], "succeeded");
    }
    assert_eq!(scene.failures().await.len(), 1, "the other cause stays");
    let rows = "SELECT count(*) FROM audit_log WHERE event_type = 'job.retry' AND event_data ? 'batch_id'
        AND event_data ->> 'comment' = 'the group exists again'";
    assert_eq!(world.count(rows).await, 2);

    let again = json!({ "comment": "once more, please", "job_ids": [first] });
    let batch = scene.done("retry-jobs", &again).await;
    assert_eq!(members(&batch, "status"), ["unchanged"], "{batch}");
    assert!(members(&batch, "job_id")[0].is_string(), "{batch}");
}

#[tokio::test]
async fn named_failed_jobs_are_discarded_and_others_refused() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let failed = scene.refused_by_github("no").await.job;
    let fine = world.provision(&scene.ada, provision_body("ci")).await.job;
    world.until_final(&scene.ada, fine).await;
    let body = json!({ "comment": "the requesters have left", "job_ids": [failed, fine] });
    let batch = scene.done("discard-jobs", &body).await;
    assert_eq!(members(&batch, "failed_job_id"), [&json!(failed), &json!(fine)]);
    assert_eq!(members(&batch, "status"), ["done", "failed"], "{batch}");
    assert!(scene.failures().await.is_empty());
    for (body, pointer) in [
        (json!({}), "/job_ids"),
        (json!({ "team": "red" }), "/code"),
        (json!({ "since": "2026-01-01T00:00:00Z" }), "/code"),
        (json!({ "code": "github_refused", "job_ids": [failed] }), "/job_ids"),
        (json!({ "code": "x", "detail": "x".repeat(301) }), "/detail"),
        (json!({ "job_ids": [Uuid::now_v7()] }), "/job_ids/0"),
    ] {
        let mut body = body;
        body["comment"] = json!("a reason of some length");
        scene.invalid("discard-jobs", &body, pointer).await;
    }
}

#[tokio::test]
async fn scheduler_goes_on_with_a_batch_of_retries() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let failed = scene.refused_by_github("no").await.job;
    let body = json!({ "comment": "the first of many", "job_ids": [failed] });
    let batch = scene.done("retry-jobs", &body).await;
    let made: Uuid = members(&batch, "job_id")[0].as_str().unwrap().parse().unwrap();
    world.until_final(&scene.ada, made).await;
    // The process that worked on it died before it wrote anything.
    let undecided =
        "UPDATE jobs SET dismissed_at = NULL, dismissed_by = NULL, retried_as = NULL WHERE id = $1";
    world.change(undecided, failed).await;
    let id = batch["id"].as_str().unwrap().parse().unwrap();
    world.change("UPDATE batches SET state = 'running', finished_at = NULL WHERE id = $1", id).await;
    world
        .change("UPDATE batch_items SET state = 'waiting', finished_at = NULL WHERE batch_id = $1", id)
        .await;
    scheduler::batches::run(world.scheduler_parts()).await.unwrap();
    let ended = scene.admin_get(&format!("/admin/batch/{id}")).await;
    assert_eq!((&ended["state"], &ended["affected_count"]), (&json!("done"), &json!(1)), "{ended}");
}
