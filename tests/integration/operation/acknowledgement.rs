//! Acknowledgement of security events.

use harness::World;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Scene;

/// Two events of high severity and a low one.
const EVENTS: &str = "INSERT INTO security_events (id, event_type, severity, action_taken)
    SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7000800000000000000' || n)::uuid,
        'credential_denied', severity, 'refused'
    FROM unnest(ARRAY['high', 'critical', 'low']) WITH ORDINALITY AS e (severity, n)";

#[tokio::test]
async fn acknowledged_event_leaves_the_verdict_and_keeps_its_note() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    sqlx::query(EVENTS).execute(world.sql()).await.unwrap();
    let notice = async || scene.admin_get("/admin/verdict").await["notice"]["sentence"].clone();
    let both = "1 critical and 1 high security events wait for an admin's acknowledgement.";
    assert_eq!(notice().await, both);

    let open = scene.admin_get("/admin/security-events?acknowledged=false&severity=high").await;
    assert_eq!((&open["total"], &open["events"][0]["acknowledged_at"]), (&json!(1), &Value::Null));
    let path = format!("/admin/security-events/{}/acknowledge", open["events"][0]["id"].as_str().unwrap());
    let body = json!({ "note": "asked ada; her token was rotated" });
    world.post(&path, &scene.ada, &body).await.refused(403, "admin_required");
    let event = world.post(&path, &scene.root, &body).await.assert_status(200).body;
    assert_eq!((&event["note"], &event["acknowledged_by"]), (&body["note"], &json!("root@example.com")));
    assert!(event["acknowledged_at"].is_string(), "{event}");
    assert_eq!(notice().await, "1 critical security event waits for an admin's acknowledgement.");

    // The first acknowledgement stays.
    let again = world.post(&path, &scene.root, &json!({ "note": "me too" })).await.assert_status(200).body;
    assert_eq!(again, event);
    let done = scene.admin_get("/admin/security-events?acknowledged=true").await;
    assert_eq!(done["total"], 1);
    let log = scene.admin_get("/audit-logs?event_type=security.acknowledge").await;
    assert_eq!((&log["total"], &log["logs"][0]["event_data"]["event"]), (&json!(1), &event["id"]));
}

#[tokio::test]
async fn bad_acknowledgement_is_refused_and_writes_nothing() {
    let scene = Scene::with(World::builder().workers(0)).await;
    let world = &scene.world;
    sqlx::query(EVENTS).execute(world.sql()).await.unwrap();
    let events = scene.admin_get("/admin/security-events").await;
    let path = format!("/admin/security-events/{}/acknowledge", events["events"][0]["id"].as_str().unwrap());
    for (body, pointer) in [
        (json!({ "note": "" }), "/note"),
        (json!({ "note": "x".repeat(501) }), "/note"),
        (json!({ "comment": "x" }), "/comment"),
    ] {
        let refused = world.post(&path, &scene.root, &body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer]);
    }
    let missing = format!("/admin/security-events/{}/acknowledge", Uuid::nil());
    world.ask("POST", &missing).by(&scene.root).send().await.refused(404, "not_found");
    let refused = world.get("/admin/security-events?acknowledged=maybe", &scene.root).await;
    assert_eq!(refused.refused(422, "validation_failed").pointers(), ["query:acknowledged"]);
    assert_eq!(
        world.count("SELECT count(*) FROM security_events WHERE acknowledged_at IS NOT NULL").await,
        0
    );
    world.ask("POST", &path).by(&scene.root).send().await.assert_status(200);
}
