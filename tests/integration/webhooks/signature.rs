//! Verification of webhook signatures.

use github_twin::signature;
use harness::World;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use uuid::Uuid;

use super::{SECRET, builder, deliver_webhook, outcome, payload, process_inbox, send_webhook};

#[tokio::test]
async fn webhooks_without_a_configured_secret_are_refused() {
    let world = World::builder().workers(0).start().await;
    send_webhook(&world, "ping", Uuid::new_v4(), b"{}").await.refused(503, "webhooks_disabled");
    assert_eq!(world.count("SELECT count(*) FROM webhook_inbox").await, 0);
}

#[tokio::test]
async fn only_deliveries_signed_by_github_are_stored() {
    let world = builder().start().await;
    let body = payload("workflow_job.in_progress.json").to_string();
    let good = signature(SECRET, body.as_bytes());
    for bad in [
        signature("another secret of the tests", body.as_bytes()),
        signature(SECRET, b"another body"),
        good.replace("sha256=", "sha1="),
        good[..70].to_owned(),
        String::new(),
    ] {
        let ask = world.ask("POST", "/webhooks/github").header("x-github-event", "workflow_job");
        let ask = ask.header("x-github-delivery", &Uuid::new_v4().to_string());
        let ask = if bad.is_empty() { ask } else { ask.header("x-hub-signature-256", &bad) };
        let answer = ask.raw("application/json", body.as_bytes()).send().await;
        let answer = answer.refused(401, "webhook_signature_invalid");
        assert_eq!(answer.header("www-authenticate"), "", "a token would not help");
    }
    assert_eq!(world.count("SELECT count(*) FROM webhook_inbox").await, 0);
    let alarms = "SELECT count(*) FROM security_events WHERE event_type = 'webhook_signature_invalid'";
    assert_eq!(world.count(alarms).await, 1, "one alarm per address and minute");
}

#[tokio::test]
async fn irrelevant_events_are_stored_as_ignored() {
    let world = builder().start().await;
    let id = deliver_webhook(&world, "ping", &payload("ping.json")).await;
    assert_eq!(outcome(&world, id).await, "ignored: not needed");
    let id = deliver_webhook(&world, "workflow_job", &payload("workflow_job.queued.json")).await;
    assert_eq!(outcome(&world, id).await, "ignored: not needed");
    let id =
        deliver_webhook(&world, "workflow_job", &json!({ "action": "completed", "workflow_job": 7 })).await;
    assert_eq!(outcome(&world, id).await, "failed: workflow_job.id is missing");
    process_inbox(&world).await;
}

/// Sends the head of a delivery and a part of its body, and returns the first line of the response. The connection
/// stays
/// open for writing, so that an early response is not lost.
async fn first_line(world: &World, length: &str, body: &[u8]) -> String {
    let address = world.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/webhooks/github HTTP/1.1\r\nhost: {address}\r\nx-github-event: ping\r\n\
         x-github-delivery: {}\r\ncontent-type: application/json\r\n{length}\r\n\r\n",
        Uuid::new_v4()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    line
}

#[tokio::test]
async fn too_large_deliveries_are_refused() {
    let world = builder().start().await;
    let frame = json!({ "zen": "" }).to_string().len();
    let largest = json!({ "zen": "x".repeat(1024 * 1024 - frame) }).to_string();
    send_webhook(&world, "ping", Uuid::new_v4(), largest.as_bytes()).await.assert_status(202);
    let said = first_line(&world, "content-length: 26214401", b"").await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    let chunk = [b"1900001\r\n".as_slice(), &vec![b'x'; 0x190_0001]].concat();
    let found_out = first_line(&world, "transfer-encoding: chunked", &chunk).await;
    assert!(found_out.starts_with("HTTP/1.1 413"), "{found_out}");
    assert_eq!(world.count("SELECT count(*) FROM webhook_inbox").await, 1);
}

#[tokio::test]
async fn delivery_beyond_the_read_limit_is_stored_as_ignored() {
    let world = builder().start().await;
    let large = json!({ "action": "in_progress", "zen": "x".repeat(5 * 1024 * 1024) }).to_string();
    let id = Uuid::new_v4();
    let answer = send_webhook(&world, "workflow_job", id, large.as_bytes()).await.assert_status(202);
    assert_eq!(answer.body["state"], "ignored");
    assert_eq!(outcome(&world, id).await, "ignored: too large to be read");
    assert_eq!(
        send_webhook(&world, "workflow_job", id, large.as_bytes()).await.assert_status(202).body["state"],
        "duplicate"
    );
    let other = world.ask("POST", "/webhooks/github").header("x-github-event", "workflow_job");
    let other = other.header("x-github-delivery", &Uuid::new_v4().to_string());
    let other =
        other.header("x-hub-signature-256", &signature("another secret of the tests", large.as_bytes()));
    other.raw("application/json", large).send().await.refused(401, "webhook_signature_invalid");
}

#[tokio::test]
async fn control_characters_of_a_delivery_are_not_stored() {
    let world = builder().start().await;
    let mut body = payload("workflow_job.in_progress.json");
    body["workflow_job"]["labels"] = json!(["a\u{0}b"]);
    body["workflow_job"]["name"] = json!("na\u{0}me");
    body["repository"]["full_name"] = json!("octo/\u{0}web");
    let id = deliver_webhook(&world, "workflow_job", &body).await;
    process_inbox(&world).await;
    assert!(!outcome(&world, id).await.starts_with("failed"));
}

#[tokio::test]
async fn malformed_deliveries_are_refused() {
    let world = builder().start().await;
    let ask = || world.ask("POST", "/webhooks/github");
    let bare = ask().raw("application/json", "{}").send().await.refused(400, "malformed_request");
    assert_eq!(bare.pointers(), ["header:X-GitHub-Event", "header:X-GitHub-Delivery"]);
    let form =
        ask().header("x-github-event", "ping").header("x-github-delivery", &Uuid::new_v4().to_string());
    let form = form.raw("application/x-www-form-urlencoded", "payload=%7B%7D").send().await;
    form.refused(415, "unsupported_media_type");
    send_webhook(&world, "ping", Uuid::new_v4(), b"{\"zen\":").await.refused(400, "malformed_body");
    send_webhook(&world, "ping", Uuid::new_v4(), &b"[".repeat(100_000)).await.refused(400, "malformed_body");
}

#[tokio::test]
async fn repeated_delivery_counts_once() {
    let world = builder().start().await;
    let (id, body) = (Uuid::new_v4(), payload("workflow_job.in_progress.json").to_string());
    assert_eq!(
        send_webhook(&world, "workflow_job", id, body.as_bytes()).await.assert_status(202).body["state"],
        "stored"
    );
    assert_eq!(
        send_webhook(&world, "workflow_job", id, body.as_bytes()).await.assert_status(202).body["state"],
        "duplicate"
    );
    process_inbox(&world).await;
    assert_eq!(
        send_webhook(&world, "workflow_job", id, body.as_bytes()).await.assert_status(202).body["state"],
        "duplicate"
    );
    assert_eq!(world.count("SELECT count(*) FROM webhook_inbox").await, 1);
}

#[tokio::test]
async fn settled_deliveries_are_pruned_after_a_week() {
    let world = builder().start().await;
    let (old, new) = (
        deliver_webhook(&world, "ping", &json!({})).await,
        deliver_webhook(&world, "ping", &json!({})).await,
    );
    let age = "UPDATE webhook_inbox SET settled_at = now() - interval '8 days' WHERE delivery_id = $1";
    world.change(age, old).await;
    assert_eq!(scheduler::inbox::forget(world.scheduler_parts()).await.unwrap(), 1);
    assert_eq!(outcome(&world, new).await, "ignored: not needed");
}

#[tokio::test]
async fn delivery_stored_by_a_newer_release_waits_and_blocks_no_other() {
    let scene = super::scene().await;
    let world = &scene.world;
    let newer =
        deliver_webhook(world, "workflow_job", &scene.event("workflow_job.in_progress.json", 1, 1)).await;
    let other =
        deliver_webhook(world, "workflow_job", &scene.event("workflow_job.in_progress.json", 2, 2)).await;
    let stored = r#"UPDATE webhook_inbox SET payload = payload || '{"tenant": "a"}' WHERE delivery_id = $1"#;
    world.change(stored, newer).await;
    process_inbox(world).await;
    assert_eq!(outcome(world, newer).await, "pending: this version cannot read the stored row");
    assert!(!outcome(world, other).await.starts_with("pending"));
    let unburned = "SELECT attempts::text FROM webhook_inbox WHERE delivery_id = $1 AND next_at > now()";
    assert_eq!(world.text(unburned, newer).await, "0");

    let two_days = "UPDATE webhook_inbox SET received_at = received_at - interval '2 days', next_at = now()
        WHERE delivery_id = $1";
    world.change(two_days, newer).await;
    process_inbox(world).await;
    assert!(outcome(world, newer).await.starts_with("failed"), "the delivery is given up in the end");
}
