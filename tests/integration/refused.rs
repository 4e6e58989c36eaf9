//! Refusals by GitHub: the job fails with a problem and its quota place becomes free.

use std::time::Duration;

use harness::{Person, World, provision_body, team_draft, wait_until};
use serde_json::{Value, json};
use store::TeamDraft;
use uuid::Uuid;

async fn scene() -> (World, Person) {
    let world = World::start().await;
    let groups =
        TeamDraft { allowed_runner_group_ids: vec![1, 99], max_runners: Some(1), ..team_draft("red") };
    let red = world.team(groups).await;
    let ada = world.user("ada", &[&red]).await;
    (world, ada)
}

async fn failed(world: &World, ada: &Person, job: Uuid) -> Value {
    let job = world.until_final(ada, job).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!("github_refused")), "{job}");
    job
}

#[tokio::test]
async fn missing_runner_group_fails_the_job() {
    let (world, ada) = scene().await;
    let asked = world.provision(&ada, json!({ "runner_name_prefix": "ci", "runner_group_id": 99 })).await;
    let job = failed(&world, &ada, asked.job).await;
    assert_eq!(job["attempts"], 1);
    world.credential(&ada, asked.job).await.refused(502, "github_refused");
    let audited = "SELECT count(*) FROM audit_log WHERE event_type = 'job.failed' AND NOT success
         AND event_data ->> 'code' = 'github_refused'";
    assert_eq!(world.count(audited).await, 1);
    // The only place is free again.
    let next = world.provision(&ada, provision_body("ci")).await;
    assert_eq!(world.until_final(&ada, next.job).await["state"], "succeeded");
}

#[tokio::test]
async fn permission_that_is_missing_fails_the_waiting_request() {
    let (world, ada) = scene().await;
    let installation = 5_151_515;
    world.twin.control().permit(installation, "organization_self_hosted_runners", None).unwrap();
    let ask =
        world.ask("POST", "/runners/jit").by(&ada).header("prefer", "wait=20").json(&provision_body("ci"));
    ask.send().await.refused(502, "github_refused");
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status <> 'deleted'").await, 0);
}

#[tokio::test]
async fn token_that_expired_early_is_replaced_without_a_failure() {
    let (world, ada) = scene().await;
    let first = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, first.job).await;
    world
        .change("UPDATE runners SET status = 'deleted', deleted_at = now() WHERE id = $1", first.runner)
        .await;
    world.twin.control().expire_tokens();
    world.twin.advance(Duration::from_secs(31));
    let second = world.provision(&ada, provision_body("ci")).await;
    let job = world.until_final(&ada, second.job).await;
    assert_eq!((&job["state"], &job["attempts"]), (&json!("succeeded"), &json!(1)));
    let calls = "SELECT count(*) FROM github_calls WHERE state = 'delivered'";
    assert_eq!(world.count(calls).await, 2);
    assert_eq!(world.count("SELECT count(*) FROM github_calls").await, 2);
}

#[tokio::test]
async fn suspended_installation_counts_no_attempt() {
    let (world, ada) = scene().await;
    world.twin.control().suspend(5_151_515, true).unwrap();
    let asked = world.provision(&ada, provision_body("ci")).await;
    wait_until("it was tried", || async {
        let job = world.job(&ada, asked.job).await;
        job["state"] != "queued" || job["blocked_on"] != "worker"
    })
    .await;
    let job = world.job(&ada, asked.job).await;
    assert_ne!(job["state"], "succeeded", "{job}");
    assert!(world.twin.runners().is_empty());
}
