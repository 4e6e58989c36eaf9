//! Failed jobs by their cause, and the admins' decisions about them.

use github_twin::{Fault, FaultKind};
use harness::{Accepted, World, provision_body, team_draft, wait_until};
use serde_json::{Value, json};
use store::TeamDraft;
use uuid::Uuid;

use super::Scene;

impl Scene {
    /// Requests a runner and makes GitHub refuse it with this message.
    pub(super) async fn refused_by_github(&self, message: &str) -> Accepted {
        self.world.refuse_next_runner(message);
        let asked = self.world.provision(&self.ada, provision_body("ci")).await;
        assert_eq!(self.world.until_final(&self.ada, asked.job).await["error"]["code"], "github_refused");
        asked
    }

    pub(super) async fn failures(&self) -> Vec<Value> {
        self.admin_get("/admin/failures").await["failures"].as_array().unwrap().clone()
    }

    async fn decide(&self, word: &str, job: Uuid) -> harness::ApiResponse {
        let body = json!({ "reason": "after the incident" });
        self.world.post(&format!("/admin/jobs/{job}/{word}"), &self.root, &body).await
    }
}

#[tokio::test]
async fn failures_are_grouped_by_cause_with_example_and_advice() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    assert!(scene.failures().await.is_empty());
    scene.refused_by_github("Group is unknown").await;
    let newest = scene.refused_by_github("Group is unknown").await;
    scene.refused_by_github("Label is bad").await;
    let waiting = world.provision(&scene.ada, provision_body("ci")).await;
    world.until_final(&scene.ada, waiting.job).await;
    world
        .change(
            "UPDATE jobs SET state = 'expired', error = '{\"code\": \"job_expired\", \"detail\": \"late\"}'
        WHERE id = $1",
            waiting.job,
        )
        .await;

    let failures = scene.failures().await;
    let told: Vec<_> =
        failures.iter().map(|one| (one["code"].as_str().unwrap(), one["jobs"].as_i64().unwrap())).collect();
    assert_eq!(told, [("job_expired", 1), ("github_refused", 1), ("github_refused", 2)]);
    let group = &failures[2];
    assert!(group["detail"].as_str().unwrap().contains("Group is unknown"), "{group}");
    assert_eq!(group["example_job_id"], json!(newest.job));
    assert_eq!((&group["teams"], &group["jobs_is_lower_bound"]), (&json!(1), &json!(false)));
    assert!(group["first_at"].as_str() < group["last_at"].as_str(), "{group}");
    assert!(group["what_to_do"].as_str().unwrap().contains("Self-hosted runners: write"), "{group}");
    assert!(failures[0]["what_to_do"].as_str().unwrap().contains("/api/v1/admin/verdict"));

    let none = scene.admin_get(&format!("/admin/failures?team={}", Uuid::nil())).await;
    assert_eq!(none["total"], 0);
    assert_eq!(scene.admin_get("/admin/failures?team=red").await["total"], 3);
    let future = scene.admin_get("/admin/failures?since=2999-01-01T00:00:00Z").await;
    assert_eq!(future["total"], 0);
    for query in ["since=2020-01-01T00:00:00Z", "since=x"] {
        let refused = world.get(&format!("/admin/failures?{query}"), &scene.root).await;
        assert_eq!(refused.refused(422, "validation_failed").pointers(), ["query:since"]);
    }
    world.get("/admin/failures", &scene.ada).await.refused(403, "admin_required");
}

#[tokio::test]
async fn retried_job_is_a_new_one_for_its_requester() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let body = json!({ "runner_name_prefix": "ci", "labels": ["gpu-a100"] });
    let refusal = FaultKind::Answer { status: 422, headers: Vec::new(), body: None };
    world.twin.fault(Fault::once("POST", "generate-jitconfig", refusal));
    let failed = world.provision(&scene.ada, body).await;
    world.until_final(&scene.ada, failed.job).await;

    let again = scene.decide("retry", failed.job).await.assert_status(202).body;
    let new: Uuid = again["job_id"].as_str().unwrap().parse().unwrap();
    assert_ne!(
        (new, &again["runner_name"]),
        (failed.job, &json!(failed.name)),
        "a job and a name of its own"
    );
    assert_eq!(world.until_final(&scene.ada, new).await["state"], "succeeded");
    let labels: Vec<String> = sqlx::query_scalar("SELECT labels FROM runners WHERE status <> 'deleted'")
        .fetch_one(world.sql())
        .await
        .unwrap();
    assert_eq!(labels, ["team-red", "gpu-a100"]);
    world.credential(&scene.root, new).await.refused(403, "credential_denied");
    world.credential(&scene.ada, new).await.assert_status(200);

    assert!(scene.failures().await.is_empty(), "the failure is dealt with");
    for word in ["retry", "discard"] {
        let refused = scene.decide(word, failed.job).await.refused(409, "job_not_retryable");
        assert!(refused.body["detail"].as_str().unwrap().contains(&new.to_string()), "{}", refused.text);
    }
    let log = scene.admin_get("/audit-logs?event_type=job.retry&success=true").await;
    let entry = &log["logs"][0];
    assert_eq!((&log["total"], &entry["event_data"]["job"]), (&json!(1), &json!(failed.job)));
    assert_eq!((&entry["user_identity"], &entry["job_id"]), (&json!("root@example.com"), &json!(new)));
    assert_eq!(entry["event_data"]["comment"], "after the incident");
}

#[tokio::test]
async fn concurrent_retries_make_one_job() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let failed = scene.refused_by_github("no").await;
    let tries = (0..8).map(|_| scene.decide("retry", failed.job));
    let answers = futures::future::join_all(tries).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(accepted, 1);
    assert!(answers.iter().all(|answer| [202, 409, 503].contains(&answer.status)));
    assert_eq!(scene.world.count("SELECT count(*) FROM jobs").await, 2);
}

#[tokio::test]
async fn retry_checks_access_policy_and_quota_anew() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let blue = world.team(TeamDraft { max_runners: Some(1), ..team_draft("blue") }).await;
    let bob = world.user("bob", &[&blue]).await;
    let body = json!({ "runner_name_prefix": "ci", "labels": ["gpu-a100"] });
    let refusal = FaultKind::Answer { status: 422, headers: Vec::new(), body: None };
    world.twin.fault(Fault::once("POST", "generate-jitconfig", refusal));
    let failed = world.provision(&bob, body).await;
    world.until_final(&bob, failed.job).await;

    let team = format!("/admin/teams/{}", blue.id);
    let other = world.provision(&bob, provision_body("other")).await;
    world.until_final(&bob, other.job).await;
    scene.decide("retry", failed.job).await.refused(403, "quota_exceeded");
    world
        .patch(&team, &scene.root, &json!({ "max_runners": 5, "optional_label_patterns": [] }))
        .await
        .assert_status(200);
    scene.decide("retry", failed.job).await.refused(403, "label_policy_violation");
    world
        .patch(&team, &scene.root, &json!({ "optional_label_patterns": ["glob:gpu-*"] }))
        .await
        .assert_status(200);
    let member = format!("{team}/members/{}", bob.id);
    world.ask("DELETE", &member).by(&scene.root).send().await.assert_status(204);
    scene.decide("retry", failed.job).await.refused(403, "team_forbidden");
    assert_eq!(scene.failures().await.len(), 1, "a refused retry changes nothing");
    let refused = scene.admin_get("/audit-logs?event_type=job.retry&success=false").await;
    let codes: Vec<_> =
        refused["logs"].as_array().unwrap().iter().map(|row| &row["event_data"]["code"]).collect();
    assert_eq!(codes, ["team_forbidden", "label_policy_violation", "quota_exceeded"], "newest first");
    let row = &refused["logs"][0];
    assert_eq!((&row["user_identity"], &row["job_id"]), (&json!("root@example.com"), &json!(failed.job)));

    world
        .post(&format!("{team}/members"), &scene.root, &json!({ "user_id": bob.id }))
        .await
        .assert_status(201);
    scene.decide("retry", failed.job).await.assert_status(202);
}

#[tokio::test]
async fn discarded_failure_leaves_the_list_and_stays_in_the_history() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let failed = scene.refused_by_github("no").await;
    world
        .post(&format!("/admin/jobs/{}/discard", failed.job), &scene.ada, &json!({}))
        .await
        .refused(403, "admin_required");
    let job = scene.decide("discard", failed.job).await.assert_status(200).body;
    assert_eq!((&job["state"], &job["job_id"]), (&json!("failed"), &json!(failed.job)));
    assert!(scene.failures().await.is_empty());
    assert_eq!(world.job(&scene.ada, failed.job).await["state"], "failed");
    for word in ["retry", "discard"] {
        let refused = scene.decide(word, failed.job).await.refused(409, "job_not_retryable");
        assert!(refused.body["detail"].as_str().unwrap().contains("root@example.com has discarded"));
    }
    let succeeded = world.provision(&scene.ada, provision_body("ci")).await;
    world.until_final(&scene.ada, succeeded.job).await;
    let refused = scene.decide("discard", succeeded.job).await.refused(409, "job_not_retryable");
    assert!(refused.body["detail"].as_str().unwrap().contains("The job is succeeded"), "{}", refused.text);
    scene.decide("retry", Uuid::nil()).await.refused(404, "not_found");
    let empty = json!({ "reason": "" });
    let path = format!("/admin/jobs/{}/retry", failed.job);
    let refused = world.post(&path, &scene.root, &empty).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/reason"]);
}

#[tokio::test]
async fn removal_and_machine_jobs_are_retried_by_their_own_rules() {
    let scene = Scene::with(World::builder().workers(1)).await;
    let world = &scene.world;
    let ci = world.machine("ci", &scene.red).await;
    let refusal = FaultKind::Answer { status: 422, headers: Vec::new(), body: None };
    world.twin.fault(Fault::once("POST", "generate-jitconfig", refusal));
    let failed = world.provision(&ci, provision_body("ci")).await;
    world.until_final(&ci, failed.job).await;
    let again = scene.decide("retry", failed.job).await.assert_status(202).body;
    let new: Uuid = again["job_id"].as_str().unwrap().parse().unwrap();
    world.until_final(&ci, new).await;
    world.credential(&ci, new).await.assert_status(200);

    let removal = "UPDATE jobs SET kind = 'deprovision', params = '{\"kind\": \"deprovision\", \"target\": \"runner\"}',
        state = 'failed', error = '{\"code\": \"runner_busy\", \"detail\": \"busy\"}' WHERE id = $1";
    world.change(removal, new).await;
    let refused = scene.decide("retry", new).await.refused(409, "job_not_retryable");
    assert!(refused.body["detail"].as_str().unwrap().contains("ask for the removal"), "{}", refused.text);
    wait_until("nothing else was made", || async {
        world.count("SELECT count(*) FROM jobs WHERE state = 'queued'").await == 0
    })
    .await;
}
