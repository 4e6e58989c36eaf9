//! Events that were put aside, as admins see them and send them again.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Scene;

/// A scene with one event that its sink refuses.
async fn refused() -> Scene {
    let scene = Scene::new().await;
    scene.receiver.refuse("rts.audit.test.bad", Some(422));
    scene.write("test.bad").await;
    scene.write("test.good").await;
    scene.deliver(&scene.parts(), 1).await;
    scene
}

#[tokio::test]
async fn dead_event_is_listed_and_sent_again_by_an_admin() {
    let scene = refused().await;
    let (world, root) = (&scene.world, scene.world.admin().await);
    let viewer = world.viewer("vera").await;
    let list =
        world.get("/admin/event-deliveries?state=dead&sink=default", &viewer).await.assert_status(200).body;
    let dead = list["deliveries"][0].clone();
    assert_eq!((&list["total"], &dead["event_type"]), (&json!(1), &json!("test.bad")), "{list}");
    assert_eq!(
        (&dead["state"], &dead["last_status"], &dead["attempts"]),
        (&json!("dead"), &json!(422), &json!(3))
    );
    assert_eq!(dead["event_id"], scene.chained().await[0]);

    let path = format!("/admin/event-deliveries/{}/retry", dead["id"].as_str().unwrap());
    world.post(&path, &viewer, &json!({})).await.refused(403, "read_only");
    let body = json!({ "reason": "the receiver is repaired" });
    let queued = world.post(&path, &root, &body).await.assert_status(202).body;
    assert_eq!((&queued["state"], &queued["attempts"]), (&json!("queued"), &json!(0)));
    world.ask("POST", &path).by(&root).send().await.assert_status(202);
    let log = world.get("/audit-logs?event_type=event_delivery.retry", &root).await.assert_status(200).body;
    assert_eq!(
        (&log["total"], &log["logs"][0]["event_data"]["reason"]),
        (&json!(1), &body["reason"]),
        "{log}"
    );

    // It is still refused: dead again after as many attempts.
    let parts = scene.parts();
    for _ in 0..3 {
        scene.step(&parts).await;
    }
    let state =
        async || world.get("/admin/event-deliveries", &root).await.body["deliveries"][0]["state"].clone();
    assert_eq!(state().await, "dead");
    scene.receiver.refuse("rts.audit.test.bad", None);
    world.post(&path, &root, &Value::Null).await.assert_status(202);
    scene.deliver(&parts, 2).await;
    assert_eq!(state().await, "delivered");
    assert_eq!(scene.receiver.accepted()[1], scene.chained().await[0], "its webhook-id is the same");
}

#[tokio::test]
async fn bad_requests_about_deliveries_are_refused() {
    let scene = refused().await;
    let (world, root) = (&scene.world, scene.world.admin().await);
    let list = world.get("/admin/event-deliveries", &root).await.assert_status(200).body;
    let path = format!("/admin/event-deliveries/{}/retry", list["deliveries"][0]["id"].as_str().unwrap());
    for (body, pointer) in [(json!({ "reason": "" }), "/reason"), (json!({ "why": "x" }), "/why")] {
        let refused = world.post(&path, &root, &body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer]);
    }
    let unknown = format!("/admin/event-deliveries/{}/retry", Uuid::now_v7());
    world.post(&unknown, &root, &json!({})).await.refused(404, "not_found");
    for query in ["state=lost", "limit=0", "cursor=x"] {
        let path = format!("/admin/event-deliveries?{query}");
        world.get(&path, &root).await.refused(422, "validation_failed");
    }
    assert_eq!(world.count("SELECT count(*) FROM event_deliveries WHERE state = 'dead'").await, 1);
}

#[tokio::test]
async fn event_whose_row_is_gone_cannot_be_sent_again() {
    let scene = refused().await;
    scene.sql("DELETE FROM audit_log WHERE event_type = 'test.bad'; UPDATE event_deliveries SET state = 'queued'").await;
    scene.step(&scene.parts()).await;
    let gone = "SELECT count(*) FROM event_deliveries WHERE state = 'dead' AND last_error = 'the retention has removed the row'";
    assert_eq!(scene.world.count(gone).await, 1);
}

#[tokio::test]
async fn failing_sink_is_a_finding_of_the_doctor() {
    let scene = refused().await;
    let root = scene.world.admin().await;
    let findings = async || -> Vec<Value> {
        let report = scene.world.get("/admin/doctor", &root).await.assert_status(200).body;
        let all = report["findings"].as_array().unwrap().iter();
        all.filter(|finding| finding["group"] == "events").cloned().collect()
    };
    let levels = |findings: &[Value]| findings.iter().map(|one| one["level"].clone()).collect::<Vec<_>>();
    let found = findings().await;
    assert_eq!(levels(&found), ["ok", "ok", "warn"], "{found:#?}");
    assert!(found[2]["detail"].as_str().unwrap().contains("events put aside for the sink default: 1"));

    scene.receiver.set_away(Some(503));
    scene.write("test.waiting").await;
    let streams = async || scene.world.get("/admin/event-streams", &root).await.assert_status(200).body;
    harness::wait_until("the sink fails", || async {
        scene.step(&scene.parts()).await;
        !streams().await["streams"][0]["failing_since"].is_null()
    })
    .await;
    assert_eq!(levels(&findings().await), ["warn", "ok", "warn"]);
    scene
        .sql("UPDATE event_streams SET failing_since = now() - interval '1 hour' WHERE chain = 'audit_log'")
        .await;
    let found = findings().await;
    assert_eq!(levels(&found), ["fail", "ok", "warn"]);
    assert!(found[0]["detail"].as_str().unwrap().contains("the sink answered 503"), "{found:#?}");
    let stream = streams().await["streams"][0].clone();
    assert_eq!((&stream["sink"], &stream["chain"]), (&json!("default"), &json!("audit_log")));
    assert!(stream["next_attempt_at"].is_string() && stream["waiting_since"].is_string(), "{stream}");
}
