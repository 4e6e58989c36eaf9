//! Content, order and signatures of the messages that a sink gets.

use std::collections::BTreeSet;

use chrono::Utc;
use domain::{AuditEntry, Severity};
use scheduler::events::DeliveryLimits;
use serde_json::{Value, json};

use super::{KEY, NEW_KEY, Scene, hasty, receiver::Answer};

#[tokio::test]
async fn row_arrives_as_a_signed_cloud_event_with_the_members_of_the_api() {
    let scene = Scene::new().await;
    let root = scene.world.admin().await;
    scene.alarm("test_alarm", Severity::High).await;
    scene.write("test.audit").await;
    scene.deliver(&scene.parts(), 2).await;
    let received = scene.receiver.received();
    for (event_type, path, key) in [
        ("rts.security.test_alarm", "/admin/security-events?event_type=test_alarm", "events"),
        ("rts.audit.test.audit", "/audit-logs?event_type=test.audit", "logs"),
    ] {
        let got = received.iter().find(|got| got.event_type() == event_type).unwrap();
        let mut row = scene.world.get(path, &root).await.assert_status(200).body[key][0].clone();
        for member in ["acknowledged_at", "acknowledged_by", "note"] {
            row.as_object_mut().unwrap().remove(member);
        }
        let mut event = got.event();
        assert_eq!(event["data"].take(), row);
        let severity = event.as_object_mut().unwrap().remove("severity");
        assert_eq!(severity, (key == "events").then(|| json!("high")));
        let attributes = json!({
            "specversion": "1.0",
            "id": row["id"],
            "source": "https://runners.example/",
            "type": event_type,
            "time": row["timestamp"],
            "datacontenttype": "application/json",
            "data": null,
        });
        assert_eq!(event, attributes);
        assert_eq!(got.headers["content-type"], "application/cloudevents+json");
        assert_eq!(got.headers["webhook-id"], row["id"].as_str().unwrap());
        let sent: i64 = got.headers["webhook-timestamp"].parse().unwrap();
        assert!((Utc::now().timestamp() - sent).abs() < 300, "{sent}");
        assert!(got.is_signed_with(KEY) && !got.is_signed_with(NEW_KEY));
    }
}

#[tokio::test]
async fn only_wanted_types_and_severities_arrive() {
    let scene = Scene::new().await;
    let settings =
        scene.settings("rts.audit.test.b*,rts.security.test_*").set("EVENT_SINK_MIN_SEVERITY", "high");
    let parts = scene.parts_with(&settings, hasty());
    for event_type in ["test.a", "test.b", "test.bc", "testXb"] {
        scene.write(event_type).await;
    }
    for severity in Severity::ALL {
        scene.alarm("test_alarm", *severity).await;
    }
    scene.alarm("testXalarm", Severity::Critical).await;
    scene.deliver(&parts, 4).await;
    let mut types: Vec<(String, Value)> = scene
        .receiver
        .received()
        .iter()
        .map(|got| (got.event_type(), got.event()["severity"].clone()))
        .collect();
    types.sort_by_key(|(event_type, severity)| (event_type.clone(), severity.to_string()));
    let expected = [
        ("rts.audit.test.b", Value::Null),
        ("rts.audit.test.bc", Value::Null),
        ("rts.security.test_alarm", json!("critical")),
        ("rts.security.test_alarm", json!("high")),
    ];
    assert_eq!(types, expected.map(|(event_type, severity)| (event_type.to_owned(), severity)));
}

#[tokio::test]
async fn rows_of_concurrent_writers_arrive_once_in_the_order_of_the_chain() {
    let scene = Scene::new().await;
    let (store, parts) = (scene.world.database().service_store(10), scene.parts());
    let writers = (0..20_u32).map(|writer| {
        let store = &store;
        async move {
            for nth in 0..15 {
                let mut tx = store.begin().await.unwrap();
                for _ in 0..=(writer + nth) % 3 {
                    tx.audit().write(&AuditEntry::service("test.written")).await.unwrap();
                }
                // Some writers commit late, some never.
                if nth % 5 == 4 {
                    tokio::task::yield_now().await;
                    continue;
                }
                tx.commit().await.unwrap();
            }
        }
    });
    let deliveries = async {
        for _ in 0..20 {
            scene.step(&parts).await;
        }
    };
    tokio::join!(futures::future::join_all(writers), deliveries);
    let chained = scene.chained().await;
    assert!(chained.len() > 300, "{}", chained.len());
    scene.deliver(&parts, chained.len()).await;
    assert_eq!(scene.receiver.accepted(), chained);
}

#[tokio::test]
async fn schedulers_that_lead_at_the_same_time_lose_nothing() {
    let scene = Scene::new().await;
    let parts = [scene.parts(), scene.parts(), scene.parts()];
    for _ in 0..5 {
        for _ in 0..10 {
            scene.write("test.written").await;
        }
        let _ = tokio::join!(scene.step(&parts[0]), scene.step(&parts[1]), scene.step(&parts[2]));
    }
    let chained = scene.chained().await;
    let all = || scene.receiver.accepted().iter().collect::<BTreeSet<_>>().len() == chained.len();
    scene.step_until(&parts[0], "every event is accepted", all).await;
    let mut first = Vec::new();
    for id in scene.receiver.accepted() {
        if !first.contains(&id) {
            first.push(id);
        }
    }
    assert_eq!(first, chained, "the first copies are in order");
    let copies = scene.receiver.accepted().len();
    assert!(copies <= 3 * chained.len(), "{copies}: a copy more for each scheduler at most");
}

#[tokio::test]
async fn new_key_signs_beside_the_old_one_without_a_restart() {
    let scene = Scene::new().await;
    let paths =
        [scene.key_file("key", KEY), scene.key_file("next", KEY)].map(|path| path.display().to_string());
    let settings = scene.settings("rts.audit.test.*").set("EVENT_SINK_SECRET_PATHS", paths.join(","));
    let parts = scene.parts_with(&settings, hasty());
    let mut signed = Vec::new();
    for key in [KEY, NEW_KEY] {
        scene.key_file("next", key);
        scene.write("test.signed").await;
        scene.deliver(&parts, signed.len() + 1).await;
        let got = scene.receiver.received().pop().unwrap();
        signed.push((got.is_signed_with(KEY), got.is_signed_with(NEW_KEY)));
    }
    assert_eq!(signed, [(true, false), (true, true)]);

    std::fs::remove_file(&paths[1]).unwrap();
    scene.write("test.unsigned").await;
    let reason = "SELECT count(*) FROM event_streams WHERE last_error LIKE '%key file%' AND refusals = 0";
    harness::wait_until("the missing key is recorded", || async {
        scene.step(&parts).await;
        scene.world.count(reason).await == 1
    })
    .await;
    assert_eq!(scene.receiver.accepted().len(), 2, "nothing is sent without its signatures");
    scene.key_file("next", NEW_KEY);
    scene.deliver(&parts, 3).await;
}

#[tokio::test]
async fn redirect_is_not_followed_and_large_answers_are_cut() {
    let (scene, other) = (Scene::new().await, super::Receiver::start().await);
    let parts = scene.parts();
    let away = Answer(307, vec![("location", other.url.clone())], 0);
    scene.receiver.answer_next([away, Answer(204, Vec::new(), 0), Answer(200, Vec::new(), 50_000_000)]);
    for event_type in ["test.first", "test.second"] {
        scene.write(event_type).await;
    }
    scene.step_until(&parts, "both events are sent", || scene.receiver.received().len() == 3).await;
    let types: Vec<String> =
        scene.receiver.received().iter().map(super::receiver::Received::event_type).collect();
    assert_eq!(types, ["rts.audit.test.first", "rts.audit.test.first", "rts.audit.test.second"]);
    assert_eq!(other.received().len(), 0);
    let behind = "SELECT count(*) FROM event_streams WHERE failing_since IS NOT NULL";
    assert_eq!(scene.world.count(behind).await, 0);
}

#[tokio::test]
async fn added_sink_gets_no_earlier_rows_and_each_sink_is_on_its_own() {
    let scene = Scene::new().await;
    let late = super::Receiver::start().await;
    scene.write("test.early").await;
    scene.deliver(&scene.parts(), 1).await;
    let key = scene.key_file("key", KEY).display().to_string();
    let table = format!(
        "[[event_sinks]]\nname = \"late\"\nurl = \"{}\"\nsecret_paths = [\"{key}\"]\ntypes = [\"rts.audit.test.*\"]\n",
        late.url
    );
    let settings = scene.settings("rts.audit.test.*").toml("rts.toml".as_ref(), &table).unwrap();
    let parts = scene.parts_with(&settings, DeliveryLimits::default());
    scene.step(&parts).await;
    scene.receiver.set_away(Some(503));
    scene.write("test.late").await;
    scene.step_until(&parts, "the added sink gets the late row", || late.accepted().len() == 1).await;
    assert_eq!(late.received()[0].event_type(), "rts.audit.test.late");
    assert_eq!(scene.receiver.accepted().len(), 1, "the first sink is away");
}
