//! Repeated requests with the same idempotency key.

use futures::future::join_all;
use harness::{ApiResponse, Bearer, World, provision_body, team_draft};
use serde_json::{Value, json};

async fn keyed(world: &World, who: &impl Bearer, key: &str, body: &Value) -> ApiResponse {
    world.ask("POST", "/runners/jit").by(who).header("idempotency-key", key).json(body).send().await
}

#[tokio::test]
async fn equal_key_and_body_return_one_job_even_concurrently() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let body = provision_body("ci");
    let answers = join_all((0..20).map(|_| keyed(&world, &ada, "k-1", &body))).await;
    let jobs: Vec<Value> =
        answers.into_iter().map(|answer| answer.assert_status(202).body["job_id"].clone()).collect();
    assert!(jobs.iter().all(|job| *job == jobs[0]));
    let job = jobs[0].as_str().unwrap().parse().unwrap();
    assert_eq!(world.until_final(&ada, job).await["state"], "succeeded");
    assert_eq!(world.twin.ledger().of("POST", "generate-jitconfig").count(), 1);

    // Much later, the key still returns the same job, and a waiting caller gets the config.
    let waiting = world.ask("POST", "/runners/jit").by(&ada).header("idempotency-key", "k-1");
    let again = waiting.header("prefer", "wait=5").json(&body).send().await.assert_status(201);
    assert_eq!(again.body["job_id"], jobs[0]);
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM runners").await, 1);
}

#[tokio::test]
async fn reused_key_with_another_body_is_refused() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    keyed(&world, &ada, "k-1", &provision_body("ci")).await.assert_status(202);
    for body in [provision_body("other"), json!({ "runner_name_prefix": "ci", "labels": ["gpu-1"] })] {
        keyed(&world, &ada, "k-1", &body).await.refused(422, "idempotency_mismatch");
    }
    keyed(&world, &ada, "k-2", &provision_body("ci")).await.assert_status(202);
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, 2);
}

#[tokio::test]
async fn key_belongs_to_its_requester() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&red]).await);
    let bot = world.machine("bot", &red).await;
    let mut jobs = vec![
        keyed(&world, &ada, "same", &provision_body("ci")).await.assert_status(202).body["job_id"].clone(),
        keyed(&world, &bob, "same", &provision_body("other")).await.assert_status(202).body["job_id"].clone(),
        keyed(&world, &bot, "same", &provision_body("third")).await.assert_status(202).body["job_id"].clone(),
    ];
    jobs.sort_by_key(ToString::to_string);
    jobs.dedup();
    assert_eq!(jobs.len(), 3);
}

#[tokio::test]
async fn refused_request_does_not_consume_its_key() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    world.change("UPDATE teams SET max_runners = 0 WHERE id = $1", red.id.uuid()).await;
    keyed(&world, &ada, "k-1", &provision_body("ci")).await.refused(403, "quota_exceeded");
    world.change("UPDATE teams SET max_runners = 1 WHERE id = $1", red.id.uuid()).await;
    let first = keyed(&world, &ada, "k-1", &provision_body("ci")).await.assert_status(202);
    // The quota is used up now, and the key still finds its job.
    let again = keyed(&world, &ada, "k-1", &provision_body("ci")).await.assert_status(202);
    assert_eq!(first.body["job_id"], again.body["job_id"]);
}

#[tokio::test]
async fn keys_have_bounds() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    for bad in ["", "two words", &"x".repeat(256)] {
        let answer = keyed(&world, &ada, bad, &provision_body("ci")).await.refused(422, "validation_failed");
        assert_eq!(answer.pointers(), ["header:Idempotency-Key"]);
    }
    let twice = world
        .ask("POST", "/runners/jit")
        .by(&ada)
        .header("idempotency-key", "a")
        .header("idempotency-key", "b");
    twice.json(&provision_body("ci")).send().await.refused(422, "validation_failed");
    keyed(&world, &ada, &"x".repeat(255), &provision_body("ci")).await.assert_status(202);
}
