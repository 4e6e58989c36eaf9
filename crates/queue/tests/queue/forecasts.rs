//! Estimates of a job's start.

use std::time::Duration;

use domain::{InstallationId, Lane, TeamId};
use queue::{BudgetSettings, Forecast, Observation, ProspectiveJob, Reason};

use crate::support::{TestQueue, delayed, in_lane, tickets};

fn prospect(lane: Lane, team: TeamId) -> ProspectiveJob {
    ProspectiveJob { installation: InstallationId::default(), lane, team: Some(team), weight: 1.0, cost: 1 }
}

async fn forecast(test: &TestQueue, lane: Lane) -> Forecast {
    test.queue.forecast(&prospect(lane, TeamId::new())).await.unwrap()
}

fn window(remaining: u64) -> Observation {
    Observation {
        endpoint: None,
        resource: "core".to_owned(),
        limit: 1_000,
        remaining,
        reset_in: Duration::from_mins(30),
        reset: 1_800_000_000,
    }
}

#[tokio::test]
async fn idle_queue_starts_at_once() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    for lane in Lane::ALL {
        let estimate = forecast(&test, *lane).await;
        assert_eq!(estimate, Forecast { starts_in: Duration::ZERO, team_waiting: 0, pause: None });
    }
}

#[tokio::test]
async fn estimate_grows_with_the_backlog() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    let team = TeamId::new();
    let mut last = [Duration::ZERO; 3];
    for step in 0..40_usize {
        test.queue.enqueue(&in_lane(Lane::ALL[step % 3], 1 + step)).await.unwrap();
        for (n, lane) in Lane::ALL.iter().enumerate() {
            let estimate = test.queue.forecast(&prospect(*lane, team)).await.unwrap().starts_in;
            assert!(estimate >= last[n], "{lane} {step}: {estimate:?} after {:?}", last[n]);
            last[n] = estimate;
        }
    }
    assert!(last.iter().all(|estimate| *estimate > Duration::ZERO));
}

#[tokio::test]
async fn estimate_of_a_team_includes_its_own_jobs() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    let team = TeamId::new();
    test.queue.enqueue(&tickets(100, team)).await.unwrap();
    test.queue.enqueue(&[delayed(team)]).await.unwrap();
    let own = test.queue.forecast(&prospect(Lane::Provision, team)).await.unwrap();
    let other = forecast(&test, Lane::Provision).await;
    assert_eq!((own.team_waiting, other.team_waiting), (101, 0));
    // 101 writes of 5 points, a burst of 10 points, 890 points in 61 s.
    assert_eq!(own.starts_in.as_secs(), (101 * 5 - 10) * 61 / 890);
    assert!(other.starts_in < Duration::from_secs(1));
    let light = ProspectiveJob { weight: 0.1, ..prospect(Lane::Provision, TeamId::new()) };
    assert!(test.queue.forecast(&light).await.unwrap().starts_in >= other.starts_in);
}

#[tokio::test]
async fn estimate_is_never_before_the_end_of_a_pause_or_window() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    let home = InstallationId::default();
    test.queue.observe(&home, &window(100)).await.unwrap();
    let estimate = forecast(&test, Lane::Provision).await;
    assert_eq!(estimate.pause.unwrap().reason, Reason::Budget);
    assert!(estimate.starts_in > Duration::from_mins(29));
    let delete = forecast(&test, Lane::Deprovision).await;
    assert_eq!((delete.pause, delete.starts_in), (None, Duration::ZERO), "it may use the reserve");

    test.queue.pause(&home, Duration::from_hours(2), Reason::SecondaryLimit).await.unwrap();
    for lane in Lane::ALL {
        let estimate = forecast(&test, *lane).await;
        let pause = estimate.pause.unwrap();
        assert_eq!(pause.reason, Reason::SecondaryLimit);
        assert!(estimate.starts_in >= pause.left && pause.left > Duration::from_mins(119));
    }
}

#[tokio::test]
async fn jobs_beyond_the_window_are_estimated_in_the_next_one() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    test.queue.observe(&InstallationId::default(), &window(150)).await.unwrap();
    test.queue.enqueue(&in_lane(Lane::Drift, 49)).await.unwrap();
    assert!(
        forecast(&test, Lane::Drift).await.starts_in < Duration::from_mins(29),
        "the first jobs of other teams come before it"
    );
    let team = TeamId::new();
    let own: Vec<_> =
        in_lane(Lane::Drift, 50).into_iter().map(|t| queue::Ticket { team: Some(team), ..t }).collect();
    test.queue.enqueue(&own).await.unwrap();
    let estimate = test.queue.forecast(&prospect(Lane::Drift, team)).await.unwrap();
    assert!(estimate.starts_in > Duration::from_mins(29), "{estimate:?}");
    assert!(estimate.starts_in < Duration::from_mins(31), "{estimate:?}");
}

#[tokio::test]
async fn queued_job_gets_the_same_estimate() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    let team = TeamId::new();
    let all = tickets(60, team);
    test.queue.enqueue(&all).await.unwrap();
    let mut last = Duration::ZERO;
    for ticket in &all {
        let position = test.queue.position(ticket.job).await.unwrap().unwrap();
        assert!(position.starts_in >= last);
        last = position.starts_in;
    }
    assert_eq!(last.as_secs(), (60 * 5 - 20) * 61 / 880);
    let late = delayed(team);
    test.queue.enqueue(std::slice::from_ref(&late)).await.unwrap();
    let position = test.queue.position(late.job).await.unwrap().unwrap();
    assert!(position.starts_in > Duration::from_mins(59));
    let held = test.take(1).await.remove(0);
    assert_eq!(test.queue.position(held.job).await.unwrap().unwrap().starts_in, Duration::ZERO);
    test.queue.pause(&InstallationId::default(), Duration::from_hours(1), Reason::Admin).await.unwrap();
    let position = test.queue.position(all[1].job).await.unwrap().unwrap();
    assert!(position.starts_in >= position.pause.unwrap().left);
}

#[tokio::test]
async fn limited_job_names_the_limit() {
    let slow = BudgetSettings { points_per_minute: 30, ..BudgetSettings::default() };
    let test = TestQueue::with_budget(&slow).await;
    let all = tickets(4, TeamId::new());
    test.queue.enqueue(&all).await.unwrap();
    let position = async || test.queue.position(all[3].job).await.unwrap().unwrap();
    assert_eq!(position().await.pause, None, "it waits for a worker");
    test.take(2).await;
    let estimate = position().await;
    assert_eq!(estimate.pause.unwrap().reason, Reason::Budget);
    assert!(
        estimate.starts_in >= estimate.pause.unwrap().left && !estimate.starts_in.is_zero(),
        "{estimate:?}"
    );
    assert_eq!(forecast(&test, Lane::Drift).await.pause, None, "another endpoint");
}

#[tokio::test]
async fn probe_in_flight_delays_other_jobs() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    let home = InstallationId::default();
    let all = tickets(2, TeamId::new());
    test.queue.enqueue(&all).await.unwrap();
    test.queue.pause(&home, Duration::from_hours(1), Reason::SecondaryLimit).await.unwrap();
    test.queue.resume(&home, Reason::SecondaryLimit).await.unwrap();
    assert_eq!(test.take(2).await.len(), 1, "one probe goes first");
    let mut estimate = Vec::new();
    for ticket in &all {
        estimate.push(test.queue.position(ticket.job).await.unwrap().unwrap());
    }
    estimate.retain(|position| position.place != queue::JobPlace::Leased);
    assert_eq!((estimate.len(), estimate[0].pause.unwrap().reason), (1, Reason::Budget));
}

#[tokio::test]
async fn slowed_down_writes_are_shared_by_all_lanes() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    test.queue.enqueue(&in_lane(Lane::Deprovision, 60)).await.unwrap();
    assert!(forecast(&test, Lane::Provision).await.starts_in.is_zero());
    test.ask::<i64>(&["HSET", &test.key("limits:default"), "mr", "6"]).await;
    // Six a minute, of which one may be ahead: a provision and its share of the removals before it.
    assert_eq!(forecast(&test, Lane::Provision).await.starts_in, Duration::from_millis(12_200));
    assert!(forecast(&test, Lane::Drift).await.starts_in.is_zero(), "it reads");
}
