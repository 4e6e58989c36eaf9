//! Event sinks: how far they are, and events that were put aside.

use harness::World;
use uuid::Uuid;

use super::{audit_rows, shown};

const STREAMS: &str =
    "INSERT INTO event_streams (sink, chain, last_transaction, last_id, refusals, failing_since,
        waiting_since, last_status, last_error)
    VALUES ('siem', 'audit_log', '1', gen_random_uuid(), 0, NULL, NULL, NULL, NULL),
        ('<b>chat</b>', 'security_events', '1', gen_random_uuid(), 4, now() - interval '6 minutes',
            now() - interval '7 minutes', 503, 'the sink answered 503')";
const DEAD: &str =
    "INSERT INTO event_deliveries (id, sink, chain, event_id, event_type, attempts, last_status, last_error)
    VALUES ($1, 'siem', 'audit_log', gen_random_uuid(), 'team.create', 3, 422, 'the sink answered 422')";

#[tokio::test]
async fn sink_that_fails_is_shown_and_its_event_is_sent_again() {
    let world = World::builder().workers(0).start().await;
    let root = world.sign_in(&world.admin().await).await;
    let empty = root.get("/sinks").await.assert_status(200);
    assert!(empty.text.contains("No event sink is set up."), "{}", empty.text);
    sqlx::query(STREAMS).execute(world.sql()).await.unwrap();
    let dead = Uuid::now_v7();
    sqlx::query(DEAD).bind(dead).execute(world.sql()).await.unwrap();

    let page = root.get("/sinks").await.assert_status(200);
    let text = shown(&page);
    for part in ["4 refusals, HTTP 503: the sink answered 503", "7 min", "<b>chat</b>", "team.create"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!page.text.contains("<b>chat"), "names are escaped");
    let viewer = world.sign_in(&world.viewer("vera").await).await;
    let seen = viewer.get("/sinks?state=dead").await.assert_status(200);
    assert!(seen.text.contains("team.create") && !seen.text.contains("Send again"), "{}", seen.text);
    let none = root.get("/sinks?state=delivered").await.assert_status(200);
    assert!(none.text.contains("No event fits."), "{}", none.text);

    let send = format!("/sinks/deliveries/{dead}/send");
    viewer.post(&send, &[]).await.assert_status(403);
    let done = root.post(&send, &[]).await.assert_status(303);
    let next = root.get(done.header("location")).await.assert_status(200);
    assert!(next.text.contains("The event team.create is sent to siem again"), "{}", next.text);
    assert_eq!(world.count("SELECT count(*) FROM event_deliveries WHERE state = 'queued'").await, 1);
    assert_eq!(audit_rows(&world, "event_delivery.retry").await, 1);
    root.post(&format!("/sinks/deliveries/{}/send", Uuid::nil()), &[]).await.assert_status(404);
}
