//! Values that a newer version has written meet this one.

use std::{collections::HashSet, time::Duration};

use domain::{InstallationId, TeamId};
use queue::{Place, Reason};

use crate::support::{Corner, claimer, tickets};

#[tokio::test]
async fn unreadable_jobs_are_put_off_and_the_others_are_claimed() {
    let corner = Corner::new().await;
    let jobs = tickets(5, TeamId::new());
    corner.spine.enqueue(&jobs).await.unwrap();
    let hash = |nth: usize| corner.key(&format!("j:{}", jobs[nth].job));
    for (nth, field, value) in [(0, "k", "v2:7"), (1, "c", "cheap"), (2, "l", "rotate"), (3, "shard", "eu")] {
        corner.ask::<i64>(&["HSET", &hash(nth), field, value]).await;
    }
    let claim = corner.spine.claim(&claimer(), 10).await.unwrap();
    let claimed: HashSet<_> = claim.jobs.iter().map(|lease| lease.job).collect();
    assert_eq!(
        claimed,
        HashSet::from([jobs[3].job, jobs[4].job]),
        "a field that is only more is no obstacle"
    );
    for ticket in &jobs[..3] {
        let place = corner.spine.standing(ticket.job).await.unwrap().unwrap().place;
        assert!(matches!(place, Place::Delayed { .. }), "{place:?}");
    }
    let lane = jobs[0].lane;
    corner.let_pass("d", lane).await;
    assert!(corner.spine.claim(&claimer(), 10).await.unwrap().jobs.is_empty(), "nor later");
    let unknown = corner.spine.unknown(&[jobs[0].job, jobs[1].job, jobs[2].job]).await.unwrap();
    assert!(unknown.is_empty(), "a worker of the newer version still finds them");
    for (nth, field, value) in [(0, "k", "0"), (1, "c", "1"), (2, "l", "provision")] {
        corner.ask::<i64>(&["HSET", &hash(nth), field, value]).await;
    }
    corner.let_pass("d", lane).await;
    assert_eq!(corner.spine.claim(&claimer(), 10).await.unwrap().jobs.len(), 3);
}

#[tokio::test]
async fn pauses_and_settings_of_a_newer_version_hide_no_others() {
    let corner = Corner::new().await;
    let home = InstallationId::default();
    let until = "99999999999999";
    for scope in ["i:other:maintenance", "region:eu"] {
        corner.ask::<i64>(&["HSET", &corner.key("p"), scope, until]).await;
    }
    corner.spine.pause(&home, Duration::from_mins(1), Reason::Admin).await.unwrap();
    let pauses = corner.spine.pauses().await.unwrap();
    assert_eq!(pauses.len(), 1, "{pauses:?}");
    corner.spine.resume(&home, Reason::Admin).await.unwrap();
    assert_eq!(corner.ask::<i64>(&["HLEN", &corner.key("p")]).await, 2, "the others are left alone");

    let settings = corner.key("b:default");
    corner.ask::<i64>(&["HSET", &settings, "burst", "seven", "points", "many"]).await;
    corner.ask::<i64>(&["ZADD", &corner.key("sites"), "1", "Not an id of ours"]).await;
    let seen = corner.spine.budget().await.unwrap();
    assert!(seen.iter().any(|view| view.installation == home), "{seen:?}");
    corner.spine.enqueue(&tickets(1, TeamId::new())).await.unwrap();
    assert_eq!(corner.spine.claim(&claimer(), 1).await.unwrap().jobs.len(), 1);
    assert_eq!(corner.ask::<String>(&["HGET", &settings, "burst"]).await, "seven");
}
