//! Sinks that refuse events, are away or are slow.

use std::time::Duration;

use domain::Severity;
use scheduler::events::DeliveryLimits;

use super::{Scene, hasty, receiver::Answer};

#[tokio::test]
async fn failed_event_is_tried_again_after_growing_pauses_and_holds_the_later_ones_back() {
    let scene = Scene::new().await;
    let limits = DeliveryLimits {
        first_pause: Duration::from_hours(1),
        max_pause: Duration::from_hours(9),
        ..hasty()
    };
    let parts = scene.parts_with(&scene.settings("rts.audit.test.*"), limits);
    scene.receiver.answer_next([500, 503, 500].map(|status| Answer(status, Vec::new(), 0)));
    scene.write("test.first").await;
    scene.write("test.second").await;
    let sent = || scene.receiver.received().len();
    let next =
        "SELECT extract(epoch FROM next_at - now())::int8 FROM event_streams WHERE chain = 'audit_log'";
    let mut pauses = Vec::new();
    for count in 1..=3 {
        scene.step_until(&parts, "the event is sent", || sent() == count).await;
        pauses.push(scene.world.count(next).await);
        scene.step(&parts).await;
        assert_eq!(sent(), count, "the pause holds");
        scene.sql("UPDATE event_streams SET next_at = now()").await;
    }
    // The 503 says that the sink is away, and counts as no refusal.
    for (pause, hours) in pauses.iter().zip([1, 1, 2]) {
        assert!((hours * 2800..hours * 4400).contains(pause), "{pauses:?}");
    }
    scene.step_until(&parts, "both events are accepted", || scene.receiver.accepted().len() == 2).await;
    let ids: Vec<String> =
        scene.receiver.received().iter().map(|got| got.headers["webhook-id"].clone()).collect();
    let chained = scene.chained().await;
    let tries = [0, 0, 0, 0, 1].map(|nth: usize| chained[nth].clone());
    assert_eq!(ids, tries, "one id for all tries");
    let healed = "SELECT count(*) FROM event_streams WHERE chain = 'audit_log' AND failing_since IS NULL
        AND refusals = 0 AND last_error IS NULL AND delivered_at IS NOT NULL";
    assert_eq!(scene.world.count(healed).await, 1);
}

#[tokio::test]
async fn sink_that_asks_to_wait_is_left_alone_for_that_time() {
    let scene = Scene::new().await;
    let busy = |seconds: &str| Answer(429, vec![("retry-after", seconds.to_owned())], 0);
    scene.receiver.answer_next([busy("1800"), busy("999999")]);
    scene.write("test.first").await;
    let next =
        "SELECT extract(epoch FROM next_at - now())::int8 FROM event_streams WHERE chain = 'audit_log'";
    for (count, bounds) in [(1, 1700..=1800), (2, 3500..=3600)] {
        scene.step_until(&scene.parts(), "it is sent", || scene.receiver.received().len() == count).await;
        let pause = scene.world.count(next).await;
        assert!(bounds.contains(&pause), "{pause}");
        scene.sql("UPDATE event_streams SET next_at = now()").await;
    }
    scene.deliver(&scene.parts(), 1).await;
}

#[tokio::test]
async fn refused_event_is_put_aside_and_the_later_ones_arrive() {
    let scene = Scene::new().await;
    scene.receiver.refuse("rts.audit.test.bad", Some(422));
    for event_type in ["test.first", "test.bad", "test.last"] {
        scene.write(event_type).await;
    }
    scene.deliver(&scene.parts(), 2).await;
    let types: Vec<String> =
        scene.receiver.received().iter().map(super::receiver::Received::event_type).collect();
    let bad = "rts.audit.test.bad";
    assert_eq!(types, ["rts.audit.test.first", bad, bad, bad, "rts.audit.test.last"]);
    let dead = "SELECT count(*) FROM event_deliveries JOIN audit_log ON audit_log.id = event_id
        WHERE state = 'dead' AND sink = 'default' AND chain = 'audit_log' AND attempts = 3 AND last_status = 422
            AND last_error = 'the sink answered 422' AND audit_log.event_type = 'test.bad'";
    assert_eq!(scene.world.count(dead).await, 1);
}

#[tokio::test]
async fn sink_that_is_away_for_days_gets_everything_afterwards_in_order() {
    let scene = Scene::new().await;
    let parts = scene.parts();
    scene.receiver.set_away(Some(503));
    for _ in 0..20 {
        scene.write("test.waiting").await;
    }
    scene.step_until(&parts, "many attempts", || scene.receiver.received().len() > 12).await;
    let dead = "SELECT count(*) FROM event_deliveries";
    scene
        .sql("UPDATE event_streams SET failing_since = now() - interval '71 hours' WHERE chain = 'audit_log'")
        .await;
    scene.step(&parts).await;
    assert_eq!(scene.world.count(dead).await, 0, "nothing is put aside for three days");

    // After three days one event is put aside, and the next one has three days of its own.
    scene
        .sql("UPDATE event_streams SET failing_since = now() - interval '73 hours' WHERE chain = 'audit_log'")
        .await;
    for _ in 0..5 {
        scene.step(&parts).await;
    }
    assert_eq!(scene.world.count(dead).await, 1);
    scene.receiver.set_away(None);
    scene.deliver(&parts, 19).await;
    assert_eq!(scene.receiver.accepted(), scene.chained().await[1..]);
}

#[tokio::test]
async fn sink_without_a_listener_is_away_and_its_url_stays_secret() {
    let scene = Scene::new().await;
    let settings = scene.settings("rts.security.test_*");
    let settings = settings.set("EVENT_SINK_URL", "http://127.0.0.1:1/hook?token=canary-of-a-sink");
    let parts = scene.parts_with(&settings, hasty());
    scene.alarm("test_alarm", Severity::Low).await;
    let failing = "SELECT count(*) FROM event_streams WHERE failing_since IS NOT NULL AND refusals = 0
        AND last_status IS NULL AND last_error LIKE 'no connection to the sink%'";
    harness::wait_until("the failure is recorded", || async {
        scene.step(&parts).await;
        scene.world.count(failing).await == 1
    })
    .await;
    let told = "SELECT count(*) FROM event_streams WHERE last_error LIKE '%canary%'";
    assert_eq!(scene.world.count(told).await, 0);
    let log = harness::logs::recorded();
    assert!(log.contains("an event could not be delivered"), "the failure is logged");
    assert!(!log.contains("canary-of-a-sink") && !log.contains(super::KEY));
}

#[tokio::test]
async fn sink_that_does_not_answer_is_given_up_in_time() {
    let scene = Scene::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let settings = scene.settings("rts.audit.test.*").set("EVENT_SINK_URL", url);
    let limits = DeliveryLimits { request_timeout: Duration::from_millis(50), ..hasty() };
    let parts = scene.parts_with(&settings, limits);
    scene.write("test.first").await;
    let failing = "SELECT count(*) FROM event_streams WHERE last_error = 'the sink did not answer in time'";
    harness::wait_until("the failure is recorded", || async {
        scene.step(&parts).await;
        scene.world.count(failing).await == 1
    })
    .await;
}
