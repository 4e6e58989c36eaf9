//! An API process killed between its commit and its response.

use devstack::Server;
use harness::{World, provision_body, team_draft, wait_until};
use serde_json::json;

use crate::exactly_once::Scene;

#[tokio::test]
async fn repeated_key_finds_the_committed_job() {
    let scene = Scene::with(World::builder().own_servers().scheduler(), team_draft("red")).await;
    let world = &scene.world;
    wait_until("the queue is marked", || async { world.queue().epoch().await.unwrap().is_some() }).await;
    let doomed = world.program("api", &[]);
    let address = doomed.address().await;
    let (key, body) = ("a-key-of-the-caller", provision_body("ci"));
    // A first call, so that only the queue can delay the next one.
    world.ask_at(address, "GET", "/auth/me", &scene.ada).send().await.assert_status(200);

    // With Redis frozen, the enqueue after the commit hangs.
    world.servers(|stack| stack.pause(Server::Redis)).await;
    let request = world.ask_at(address, "POST", "/runners/jit", &scene.ada).header("idempotency-key", key);
    let asked = tokio::spawn(request.json(&body).try_send());
    let jobs = "SELECT count(*) FROM jobs";
    wait_until("it is committed", || async { world.count(jobs).await == 1 }).await;
    // On a busy machine the API may give up on Redis and respond before it is killed; the aborted caller ignores it.
    asked.abort();
    doomed.kill();
    world.servers(|stack| stack.resume(Server::Redis)).await;

    let again = world.ask("POST", "/runners/jit").by(&scene.ada).header("idempotency-key", key);
    let again = again.json(&body).send().await.assert_status(202);
    let job: uuid::Uuid = again.body["job_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.text("SELECT state FROM jobs WHERE id = $1", job).await, "queued");
    let other = world.ask("POST", "/runners/jit").by(&scene.ada).header("idempotency-key", key);
    other.json(&json!({ "runner_name_prefix": "other" })).send().await.refused(422, "idempotency_mismatch");
    assert_eq!(world.count(jobs).await, 1);

    scene.add_worker();
    scene.wait_for_success(job).await;
    assert_eq!(scene.github_runner_names().len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM github_calls").await, 1);
}
