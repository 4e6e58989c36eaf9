//! One ticket, one runner.

use futures::future::join_all;
use harness::{World, provision_body, wait_until};
use serde_json::{Value, json};

use super::Scene;

const RUNNERS: &str = "SELECT count(*) FROM runners";

#[tokio::test]
async fn ticket_becomes_a_runner_only_when_a_machine_redeems_it() {
    let scene = Scene::new().await;
    let made = scene.ticket(&scene.ada).await.assert_status(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let ticket = made.body;
    assert!(ticket["ticket"].as_str().unwrap().starts_with("rtst_"));
    assert_eq!((&ticket["state"], &ticket["team_id"]), (&json!("open"), &json!(scene.red.id)));
    assert_eq!(scene.world.count(RUNNERS).await, 0);
    assert_eq!(scene.world.twin.ledger().of("POST", "generate-jitconfig").count(), 0);

    let config = scene.redeem(&ticket, "boot-1").await.assert_status(201);
    assert_eq!(config.header("cache-control"), "no-store");
    assert!(config.body["encoded_jit_config"].as_str().unwrap().len() > 100);
    assert!(config.body["runner_name"].as_str().unwrap().starts_with("vm-"));
    assert_eq!(config.body["labels"], json!(["team-red", "self-hosted"]));

    let listed = scene.world.get("/runners/tickets?state=redeemed", &scene.ada).await.assert_status(200);
    let row = &listed.body["tickets"][0];
    assert_eq!((&row["job_id"], &row["runner_id"]), (&config.body["job_id"], &config.body["runner_id"]));
    assert_eq!(
        (&row["redeemed_from"], &row["requested_by"]),
        (&json!("127.0.0.1"), &json!("ada@example.com"))
    );
    assert!(!listed.text.contains(ticket["ticket"].as_str().unwrap()));
    let text = "SELECT count(*) FROM claim_tickets t WHERE t::text LIKE '%' || $1 || '%'";
    let kept: i64 = sqlx::query_scalar(text)
        .bind(&ticket["ticket"].as_str().unwrap()[5..])
        .fetch_one(scene.world.sql())
        .await
        .unwrap();
    assert_eq!(kept, 0, "only the hash is stored");
    let noted: Vec<String> = sqlx::query_scalar(
        "SELECT event_type FROM audit_log WHERE event_type LIKE 'ticket.%' OR event_type LIKE 'runner.pro%' ORDER BY id",
    )
    .fetch_all(scene.world.sql())
    .await
    .unwrap();
    assert_eq!(noted, ["ticket.create", "runner.provision", "ticket.redeem"]);
}

#[tokio::test]
async fn lost_answer_is_asked_again_by_the_same_machine_alone() {
    let scene = Scene::new().await;
    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let first = scene.redeem(&ticket, "boot-1").await.assert_status(201).body;
    let again = scene.redeem(&ticket, "boot-1").await.assert_status(201).body;
    assert_eq!(first, again);
    scene.redeem(&ticket, "boot-2").await.refused(403, "ticket_refused");
    assert_eq!(scene.world.count(RUNNERS).await, 1);
    let asleep =
        "UPDATE claim_tickets SET redeemed_at = redeemed_at - interval '61 minutes' WHERE job_id = $1";
    scene.world.change(asleep, first["job_id"].as_str().unwrap().parse().unwrap()).await;
    scene.redeem(&ticket, "boot-1").await.refused(403, "ticket_refused");
}

#[tokio::test]
async fn many_machines_at_once_get_one_runner() {
    let scene = Scene::new().await;
    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let keys: Vec<String> = (0..12).map(|nth| format!("boot-{}", nth % 6)).collect();
    let answers = join_all(keys.iter().map(|key| scene.redeem(&ticket, key))).await;
    let winners: Vec<&Value> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .map(|answer| &answer.body["runner_id"])
        .collect();
    assert_eq!((winners.len(), winners[0]), (2, winners[1]), "both requests of one machine");
    let refused = answers.iter().filter(|answer| answer.code() == "ticket_refused").count();
    assert_eq!((refused, scene.world.count(RUNNERS).await), (10, 1));
    assert_eq!(scene.world.twin.ledger().of("POST", "generate-jitconfig").count(), 1);
}

#[tokio::test]
async fn machine_that_cannot_wait_asks_again_until_the_config_is_there() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let ask = || scene.redemption(&ticket, "boot-1").header("prefer", "respond-async").send();
    let waiting = ask().await.assert_status(202);
    assert_eq!(waiting.body["state"], "queued");
    assert!(waiting.header("retry-after").parse::<u64>().is_ok() && waiting.body["ticket"].is_null());
    let _worker = scene.world.start_worker();
    wait_until("the config is there", || async { ask().await.status == 201 }).await;
    assert_eq!(scene.world.count(RUNNERS).await, 1);
}

#[tokio::test]
async fn config_is_sealed_to_the_machine() {
    let scene = Scene::new().await;
    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let key = domain::SealingKeyPair::generate().unwrap().public().to_string();
    let ask = |key: &str| {
        let request = scene.world.ask("POST", "/runners/tickets/redeem").header("idempotency-key", "boot-1");
        request.json(&json!({ "ticket": ticket["ticket"], "sealing_key": key })).send()
    };
    ask("AAAA").await.refused(422, "validation_failed");
    assert_eq!(ask(&key).await.assert_status(201).body["kind"], "sealed_jit_config");
    let other = domain::SealingKeyPair::generate().unwrap().public().to_string();
    ask(&other).await.refused(422, "idempotency_mismatch");
}

#[tokio::test]
async fn policy_is_checked_when_asked_and_again_when_redeemed() {
    let scene = Scene::new().await;
    let root = scene.world.admin().await;
    let labels = json!({ "addresses": ["127.0.0.1"], "labels": ["ubuntu-latest"] });
    scene.ask_ticket(&scene.ada, labels).await.refused(403, "label_policy_violation");
    let refusals = "SELECT count(*) FROM audit_log WHERE event_type = 'ticket.create' AND NOT success";
    assert_eq!(scene.world.count(refusals).await, 1);

    let gpu = json!({ "addresses": ["127.0.0.1"], "labels": ["gpu-7"] });
    let ticket = scene.ask_ticket(&scene.ada, gpu).await.assert_status(201).body;
    let path = format!("/admin/teams/{}", scene.red.id);
    let edit = async |body: Value| {
        scene.world.ask("PATCH", &path).by(&root).json(&body).send().await.assert_status(200)
    };
    edit(json!({ "optional_label_patterns": ["glob:cpu-*"] })).await;
    scene.redeem(&ticket, "boot-1").await.refused(403, "label_policy_violation");
    scene.world.provision(&scene.ada, provision_body("ci")).await;
    edit(json!({ "optional_label_patterns": ["glob:gpu-*"], "max_runners": 1 })).await;
    scene.redeem(&ticket, "boot-1").await.refused(403, "quota_exceeded");
    assert_eq!((scene.state(&ticket).await.as_str(), scene.world.count(RUNNERS).await), ("open", 1));
    edit(json!({ "max_runners": 2 })).await;
    scene.redeem(&ticket, "boot-2").await.assert_status(201);
}

#[tokio::test]
async fn ticket_ends_and_is_forgotten_after_a_week() {
    let scene = Scene::new().await;
    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let id = ticket["ticket_id"].as_str().unwrap().parse().unwrap();
    scene.world.change("UPDATE claim_tickets SET expires_at = now() WHERE id = $1", id).await;
    scene.redeem(&ticket, "boot-1").await.refused(403, "ticket_refused");
    assert_eq!(scene.state(&ticket).await, "expired");
    scheduler::prune::run(scene.world.scheduler_parts()).await.unwrap();
    assert_eq!(scene.world.count("SELECT count(*) FROM claim_tickets").await, 1);
    let week = "UPDATE claim_tickets SET expires_at = now() - interval '7 days 1 minute' WHERE id = $1";
    scene.world.change(week, id).await;
    scheduler::prune::run(scene.world.scheduler_parts()).await.unwrap();
    assert_eq!(scene.world.count("SELECT count(*) FROM claim_tickets").await, 0);
}

#[tokio::test]
async fn wrong_values_are_named() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let issuer = scene.world.issuer().url().to_owned();
    for (more, pointer) in [
        (json!({}), "/addresses"),
        (json!({ "addresses": ["0.0.0.0/0"] }), "/addresses/0"),
        (json!({ "addresses": ["127.0.0.1", "ten"] }), "/addresses/1"),
        (json!({ "addresses": vec!["10.0.0.1"; 21] }), "/addresses"),
        (json!({ "addresses": ["127.0.0.1"], "expires_in_seconds": 59 }), "/expires_in_seconds"),
        (json!({ "addresses": ["127.0.0.1"], "expires_in_seconds": 86_401 }), "/expires_in_seconds"),
        (json!({ "addresses": ["127.0.0.1"], "runner_name_prefix": "-" }), "/runner_name_prefix"),
        (json!({ "addresses": ["127.0.0.1"], "labels": ["a,b"] }), "/labels/0"),
        (json!({ "identity": { "issuer": "https://other.example", "subject": "vm" } }), "/identity/issuer"),
        (json!({ "identity": { "issuer": issuer, "subject": "*" } }), "/identity/subject"),
    ] {
        let refused = scene.ask_ticket(&scene.ada, more.clone()).await.refused(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{more}: {}", refused.text);
    }
    let body = json!({ "ticket": "rtst_" });
    let keyless = scene.world.ask("POST", "/runners/tickets/redeem").json(&body).send().await;
    let keyless = keyless.refused(422, "validation_failed");
    assert_eq!(keyless.body["errors"][0]["pointer"], "header:Idempotency-Key");
    assert_eq!(scene.world.count("SELECT count(*) FROM claim_tickets").await, 0);
}
