//! Pauses of installations and lanes.

use std::time::Duration;

use domain::{InstallationId, Lane, TeamId};
use queue::{JobPlace, Reason, Scope, Ticket};

use crate::support::{TestQueue, claimer, delayed, in_lane, ticket, tickets};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn pause_is_applied_listed_and_lifted() {
    let test = TestQueue::new().await;
    let home = InstallationId::default();
    let job = ticket(TeamId::new());
    test.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    test.queue.pause(&home, Duration::from_secs(2), Reason::SecondaryLimit).await.unwrap();
    let claim = test.queue.claim(&claimer(), 5).await.unwrap();
    assert!(claim.jobs.is_empty());
    assert!(claim.wait <= Duration::from_secs(2), "asks again when the pause ends: {:?}", claim.wait);

    let standing = test.queue.position(job.job).await.unwrap().unwrap();
    assert_eq!(standing.place, JobPlace::Ready { ahead: 0 });
    assert_eq!(standing.pause.unwrap().reason, Reason::SecondaryLimit);
    assert_eq!(test.queue.pauses().await.unwrap()[0].scope, Scope::Installation(home.clone()));

    test.queue.resume(&home, Reason::SecondaryLimit).await.unwrap();
    assert!(test.queue.pauses().await.unwrap().is_empty());
    assert_eq!(test.take(1).await.len(), 1);
}

#[tokio::test]
async fn pause_is_never_shortened() {
    let test = TestQueue::new().await;
    let home = InstallationId::default();
    test.queue.pause(&home, HOUR, Reason::Budget).await.unwrap();
    let left = test.queue.pause(&home, MINUTE, Reason::Budget).await.unwrap();
    assert!(left > MINUTE);
    test.queue.pause(&home, 2 * HOUR, Reason::Admin).await.unwrap();
    test.queue.resume(&home, Reason::Admin).await.unwrap();
    test.queue.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    assert!(test.take(1).await.is_empty(), "lifting one reason leaves the other");
}

#[tokio::test]
async fn pause_ends_by_itself() {
    let test = TestQueue::new().await;
    let home = InstallationId::default();
    test.queue.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    test.queue.pause(&home, Duration::from_millis(20), Reason::GithubOutage).await.unwrap();
    while test.take(1).await.is_empty() {}
    assert!(test.queue.pauses().await.unwrap().is_empty());
}

#[tokio::test]
async fn pause_leaves_other_lanes_and_installations_running() {
    let test = TestQueue::new().await;
    let mut elsewhere = in_lane(Lane::Provision, 1);
    elsewhere[0].installation = "other".parse().unwrap();
    test.queue.enqueue(&elsewhere).await.unwrap();
    test.queue.enqueue(&in_lane(Lane::Provision, 2)).await.unwrap();
    test.queue.enqueue(&in_lane(Lane::Drift, 2)).await.unwrap();

    test.queue.pause_lane(Lane::Provision, MINUTE).await.unwrap();
    let lanes: Vec<Lane> = test.take(5).await.iter().map(|lease| lease.lane).collect();
    assert_eq!(lanes, [Lane::Drift, Lane::Drift]);

    test.queue.resume_lane(Lane::Provision).await.unwrap();
    test.queue.pause(&InstallationId::default(), MINUTE, Reason::Admin).await.unwrap();
    let taken = test.take(5).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].installation, elsewhere[0].installation);
}

#[tokio::test]
async fn depth_and_age_are_reported_per_lane() {
    let test = TestQueue::new().await;
    let team = TeamId::new();
    test.queue.enqueue(&tickets(3, team)).await.unwrap();
    let old = Ticket { age: Duration::from_mins(2), ..ticket(team) };
    test.queue.enqueue(&[old, delayed(team), delayed(team)]).await.unwrap();
    test.take(1).await;
    let stats = test.queue.stats().await.unwrap();
    let lane = stats.lanes.iter().find(|row| row.lane == Lane::Provision).unwrap();
    assert_eq!((lane.waiting, lane.delayed, lane.running), (3, 2, 1));
    assert!(lane.oldest_age >= Duration::from_secs(119), "{:?}", lane.oldest_age);
    assert_eq!(stats.lanes.len(), 3);
}
