//! Schedulers as processes, which are killed while they deliver.

use std::{collections::BTreeSet, time::Duration};

use super::{KEY, Scene};

/// Longest time until the next scheduler leads and has delivered.
const MAX_WAIT: Duration = Duration::from_mins(3);
/// Rows of each round.
const ROWS: usize = 150;

#[tokio::test]
async fn killed_scheduler_loses_no_event() {
    let scene = Scene::new().await;
    let key = scene.key_file("key", KEY).display().to_string();
    let settings = [
        ("EVENT_SINK_URL", scene.receiver.url.as_str()),
        ("EVENT_SINK_SECRET_PATHS", &key),
        ("EVENT_SINK_TYPES", "rts.audit.test.*"),
    ];
    let distinct = || scene.receiver.accepted().into_iter().collect::<BTreeSet<_>>().len();
    let mut kills = 0;
    for round in 1..=2 {
        for _ in 0..ROWS {
            scene.write("test.written").await;
        }
        let scheduler = scene.world.program("scheduler", &settings);
        // The first one is killed in the middle.
        let enough = if round == 1 { 20 } else { 2 * ROWS };
        harness::eventually_within(MAX_WAIT, "events are delivered", || async {
            (distinct() >= enough).then_some(())
        })
        .await;
        if round == 1 {
            scheduler.kill();
            kills += 1;
        } else {
            scheduler.stop().await;
        }
    }
    let accepted = scene.receiver.accepted();
    let mut first = Vec::new();
    for id in &accepted {
        if !first.contains(id) {
            first.push(id.clone());
        }
    }
    assert_eq!(first, scene.chained().await);
    assert!(accepted.len() <= 2 * ROWS + kills, "a kill repeats one event at most: {}", accepted.len());
}
