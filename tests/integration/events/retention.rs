//! Rows that were removed before a sink got them, and old rows of the deliveries themselves.

use chrono::TimeDelta;
use scheduler::{Parts, Retention, SyncSettings, chain, chain::ChainMemory, events, prune};

use super::Scene;
use crate::audit_chain;

/// Makes all rows of tests, and the chain before them, twenty days old.
const AGE: &str = "UPDATE audit_log SET \"timestamp\" = \"timestamp\" - interval '20 days',
    id = overlay(id::text placing '01800000-0000' from 1 for 13)::uuid";

#[tokio::test]
async fn rows_that_retention_removed_first_are_reported_and_passed_over() {
    let scene = Scene::new().await;
    scene.receiver.set_away(Some(503));
    for _ in 0..5 {
        scene.write("test.old").await;
    }
    let parts = scene.parts();
    scene.step_until(&parts, "the sink is tried", || !scene.receiver.received().is_empty()).await;
    scene.sql(AGE).await;
    let memory = ChainMemory::default();
    audit_chain::chain_all(&scene.world, &parts, &memory).await;
    let retention = Retention { audit: Some(TimeDelta::days(10)), ..Retention::default() };
    let pruning = Parts { sync: SyncSettings { retention, ..parts.sync.clone() }, ..parts.clone() };
    chain::run(pruning.clone(), memory).await.unwrap();
    assert!(prune::run(pruning).await.unwrap() >= 5);

    scene.receiver.set_away(None);
    let skipped =
        "SELECT count(*) FROM security_events WHERE event_type = 'event_sink_skipped' AND severity = 'high'
        AND violation_data ->> 'sink' = 'default' AND violation_data ->> 'chain' = 'audit_log'";
    harness::wait_until("the loss is reported", || async {
        scene.step(&parts).await;
        scene.world.count(skipped).await == 1
    })
    .await;
    scene.write("test.new").await;
    scene.deliver(&parts, 1).await;
    assert_eq!(scene.world.count(skipped).await, 1, "once");
    assert_eq!(scene.receiver.accepted(), scene.chained().await);
}

#[tokio::test]
async fn old_deliveries_and_streams_of_removed_sinks_are_forgotten() {
    let scene = Scene::new().await;
    scene
        .sql(
            "INSERT INTO event_deliveries (id, sink, chain, event_id, event_type, attempts, settled_at)
            SELECT gen_random_uuid(), 'default', 'audit_log', gen_random_uuid(), 'test.bad', 3,
                now() - make_interval(days => days) FROM unnest(ARRAY[1, 29, 31]) AS days;
            INSERT INTO event_streams (sink, chain, last_transaction, last_id, seen_at)
            SELECT 'gone-' || days, 'audit_log', '0', gen_random_uuid(), now() - make_interval(days => days)
            FROM unnest(ARRAY[6, 8]) AS days",
        )
        .await;
    assert_eq!(events::forget(scene.parts()).await.unwrap(), 2);
    assert_eq!(scene.world.count("SELECT count(*) FROM event_deliveries").await, 2);
    let left = "SELECT count(*) FROM event_streams WHERE sink = 'gone-6' OR sink = 'default'";
    assert_eq!(scene.world.count(left).await, 3);
}
