//! Values that a newer version has written.

use std::{collections::HashSet, time::Duration};

use domain::{InstallationId, TeamId};
use queue::{JobPlace, Reason};

use crate::support::{TestQueue, claimer, tickets};

#[tokio::test]
async fn unreadable_jobs_are_put_off_and_the_others_are_claimed() {
    let test = TestQueue::new().await;
    let jobs = tickets(5, TeamId::new());
    test.queue.enqueue(&jobs).await.unwrap();
    let hash = |nth: usize| test.key(&format!("job:{}", jobs[nth].job));
    for (nth, field, value) in [(0, "k", "v2:7"), (1, "c", "cheap"), (2, "l", "rotate"), (3, "shard", "eu")] {
        test.ask::<i64>(&["HSET", &hash(nth), field, value]).await;
    }
    let claim = test.queue.claim(&claimer(), 10).await.unwrap();
    let claimed: HashSet<_> = claim.jobs.iter().map(|lease| lease.job).collect();
    assert_eq!(claimed, HashSet::from([jobs[3].job, jobs[4].job]), "an additional field is ignored");
    for ticket in &jobs[..3] {
        let place = test.queue.position(ticket.job).await.unwrap().unwrap().place;
        assert!(matches!(place, JobPlace::Delayed { .. }), "{place:?}");
    }
    let lane = jobs[0].lane;
    test.make_due("delayed", lane).await;
    assert!(test.queue.claim(&claimer(), 10).await.unwrap().jobs.is_empty(), "nor later");
    let unknown = test.queue.unknown(&[jobs[0].job, jobs[1].job, jobs[2].job]).await.unwrap();
    assert!(unknown.is_empty(), "a worker of the newer version still finds them");
    for (nth, field, value) in [(0, "k", "0"), (1, "c", "1"), (2, "l", "provision")] {
        test.ask::<i64>(&["HSET", &hash(nth), field, value]).await;
    }
    test.make_due("delayed", lane).await;
    assert_eq!(test.queue.claim(&claimer(), 10).await.unwrap().jobs.len(), 3);
}

#[tokio::test]
async fn unreadable_pauses_and_settings_hide_no_others() {
    let test = TestQueue::new().await;
    let home = InstallationId::default();
    let until = "99999999999999";
    for scope in ["i:other:maintenance", "region:eu"] {
        test.ask::<i64>(&["HSET", &test.key("pauses"), scope, until]).await;
    }
    test.queue.pause(&home, Duration::from_mins(1), Reason::Admin).await.unwrap();
    let pauses = test.queue.pauses().await.unwrap();
    assert_eq!(pauses.len(), 1, "{pauses:?}");
    test.queue.resume(&home, Reason::Admin).await.unwrap();
    assert_eq!(test.ask::<i64>(&["HLEN", &test.key("pauses")]).await, 2, "the others are left alone");

    let settings = test.key("budget:default");
    test.ask::<i64>(&["HSET", &settings, "burst", "seven", "points", "many"]).await;
    test.ask::<i64>(&["ZADD", &test.key("sites"), "1", "Not an id of ours"]).await;
    let seen = test.queue.budget().await.unwrap();
    assert!(seen.iter().any(|view| view.installation == home), "{seen:?}");
    test.queue.enqueue(&tickets(1, TeamId::new())).await.unwrap();
    assert_eq!(test.queue.claim(&claimer(), 1).await.unwrap().jobs.len(), 1);
    assert_eq!(test.ask::<String>(&["HGET", &settings, "burst"]).await, "seven");
}
