//! Pauses, the probe that ends them, and the circuit breaker.

use std::time::Duration;

use domain::{InstallationId, JobId, Lane, TeamId};
use queue::{Availability, Breaker, BudgetSettings, Call, Observation, Permit, Prepaid, Reason};

use crate::{
    clock::{Ask, Clock},
    support::{TestQueue, claimer, in_lane, tickets, unlimited},
};

const MOMENT: Duration = Duration::from_millis(20);
const GET: Call = Call { endpoint: "runner", write: false, registers: false, urgent: true };

fn fine() -> Observation {
    Observation {
        endpoint: Some("runner"),
        resource: "core".to_owned(),
        limit: 5_000,
        remaining: 4_000,
        reset_in: Duration::from_hours(1),
        reset: 1_800_000_000,
    }
}

/// Returns a queue with five jobs and a pause that is over.
async fn after_a_pause(budget: &BudgetSettings) -> TestQueue {
    let test = TestQueue::with_budget(budget).await;
    test.queue.enqueue(&tickets(5, TeamId::new())).await.unwrap();
    test.queue.pause(&InstallationId::default(), MOMENT, Reason::GithubOutage).await.unwrap();
    test
}

#[tokio::test]
async fn probe_is_sent_first_and_its_answer_releases_the_others() {
    let test = after_a_pause(&unlimited()).await;
    let home = InstallationId::default();
    let (one, two) = (claimer(), claimer());
    let probe = loop {
        if let Some(lease) = test.queue.claim(&one, 5).await.unwrap().jobs.pop() {
            break lease;
        }
    };
    let held = test.queue.claim(&two, 5).await.unwrap();
    assert!(held.jobs.is_empty() && held.wait <= Duration::from_secs(30));
    assert!(matches!(test.queue.permit(&home, &GET).await.unwrap(), Permit::Wait(_)));
    let view = &test.queue.budget().await.unwrap()[0];
    assert!(view.probe.is_some_and(|left| left > Duration::from_secs(20)));
    assert_eq!(view.running, 1);

    test.queue.observe(&home, &fine()).await.unwrap();
    assert_eq!(test.queue.budget().await.unwrap().iter().filter_map(|view| view.probe).count(), 0);
    assert_eq!(test.queue.claim(&two, 5).await.unwrap().jobs.len(), 4);
    assert_eq!(test.queue.permit(&home, &GET).await.unwrap(), Permit::Granted);
    assert!(test.queue.finish(&probe).await.unwrap());
}

#[tokio::test]
async fn claim_of_many_gets_one_job_while_a_probe_is_required() {
    let test = after_a_pause(&unlimited()).await;
    let claimer = claimer();
    let first = loop {
        let jobs = test.queue.claim(&claimer, 5).await.unwrap().jobs;
        if !jobs.is_empty() {
            break jobs;
        }
    };
    assert_eq!(first.len(), 1);
    test.queue.record_outcome(&InstallationId::default(), Availability::Good).await.unwrap();
    assert_eq!(test.queue.claim(&claimer, 5).await.unwrap().jobs.len(), 4);
}

#[tokio::test]
async fn lost_probe_is_followed_by_another() {
    let test = after_a_pause(&BudgetSettings { probe: MOMENT, ..unlimited() }).await;
    let claimer = claimer();
    let mut sizes = Vec::new();
    while sizes.len() < 5 {
        let jobs = test.queue.claim(&claimer, 5).await.unwrap().jobs.len();
        sizes.extend((jobs > 0).then_some(jobs));
    }
    assert_eq!(sizes, [1; 5], "one probe at a time");
}

#[tokio::test]
async fn probe_that_ends_without_an_answer_is_followed_by_another() {
    let test = after_a_pause(&unlimited()).await;
    let claimer = claimer();
    let probe = loop {
        if let Some(lease) = test.queue.claim(&claimer, 5).await.unwrap().jobs.pop() {
            break lease;
        }
    };
    assert!(test.queue.claim(&claimer, 5).await.unwrap().jobs.is_empty(), "one probe at a time");
    assert!(test.queue.finish(&probe).await.unwrap());
    assert_eq!(test.queue.claim(&claimer, 5).await.unwrap().jobs.len(), 1, "other jobs still wait");
}

#[tokio::test]
async fn only_the_job_of_the_probe_does_not_wait_for_it() {
    let test = after_a_pause(&unlimited()).await;
    let (home, claimer) = (InstallationId::default(), claimer());
    let probe = loop {
        if let Some(lease) = test.queue.claim(&claimer, 5).await.unwrap().jobs.pop() {
            break lease;
        }
    };
    let ask = async |job, paid| test.queue.permit_job(&home, &GET, job, paid).await.unwrap();
    let another = JobId::new();
    let ago = Duration::from_secs(2);
    for paid in [Prepaid::None, Prepaid::ThisCall { ago }] {
        assert!(matches!(ask(another, paid).await, Permit::Wait(_)), "{paid:?}");
        assert_eq!(ask(probe.job, paid).await, Permit::Granted, "{paid:?}");
        assert!(matches!(ask(another, paid).await, Permit::Wait(_)), "the probe is still in flight");
        assert!(test.queue.claim(&claimer, 5).await.unwrap().jobs.is_empty());
    }
    assert!(test.queue.finish(&probe).await.unwrap());
    assert_eq!(
        ask(another, Prepaid::ThisCall { ago }).await,
        Permit::Granted,
        "the probe ended without a response"
    );
    assert!(test.queue.claim(&claimer, 5).await.unwrap().jobs.is_empty(), "this claim is the next probe");
}

#[tokio::test]
async fn admin_pause_requires_no_probe_and_stops_no_running_job() {
    let test = TestQueue::new().await;
    let home = InstallationId::default();
    test.queue.enqueue(&in_lane(Lane::Drift, 3)).await.unwrap();
    test.queue.pause(&home, Duration::from_hours(1), Reason::Admin).await.unwrap();
    assert_eq!(test.queue.permit(&home, &GET).await.unwrap(), Permit::Granted);
    test.queue.resume(&home, Reason::Admin).await.unwrap();
    assert_eq!(test.queue.claim(&claimer(), 3).await.unwrap().jobs.len(), 3);
    test.queue.pause(&home, Duration::from_hours(1), Reason::Budget).await.unwrap();
    assert!(matches!(test.queue.permit(&home, &GET).await.unwrap(), Permit::Wait(_)));
}

#[tokio::test]
async fn five_failures_of_twenty_open_the_breaker() {
    let test = TestQueue::new().await;
    let home = InstallationId::default();
    for health in [Availability::Bad, Availability::Good].repeat(4) {
        assert_eq!(test.queue.record_outcome(&home, health).await.unwrap(), Breaker::Closed);
    }
    let opened = test.queue.record_outcome(&home, Availability::Bad).await.unwrap();
    assert!(matches!(opened, Breaker::Open { left } if left <= Duration::from_secs(5)));
    test.queue.enqueue(&tickets(1, TeamId::new())).await.unwrap();
    assert!(test.take(1).await.is_empty());
    let view = test.queue.budget().await.unwrap().remove(0);
    assert!(matches!(view.breaker, Breaker::Open { .. }));
    assert_eq!(view.pauses[0].reason, Reason::GithubOutage);
}

#[tokio::test]
async fn old_answers_and_more_than_twenty_are_forgotten() {
    let mut clock = Clock::of(TestQueue::new().await).await;
    for _ in 0..4 {
        clock.outcome(false).await;
    }
    clock.advance_minutes(1.1);
    assert_eq!(clock.outcome(false).await.0, "closed", "the four failures are too old");
    for _ in 0..3 {
        clock.outcome(false).await;
    }
    for _ in 0..19 {
        clock.outcome(true).await;
    }
    assert_eq!(clock.outcome(false).await.0, "closed", "the four failures are not among the last twenty");
}

#[tokio::test]
async fn breaker_pause_doubles_until_a_probe_succeeds() {
    let mut clock = Clock::of(TestQueue::new().await).await;
    let mut state = (String::new(), 0);
    for _ in 0..5 {
        state = clock.outcome(false).await;
    }
    for expected in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
        assert_eq!(state, ("open".to_owned(), expected));
        assert_eq!(clock.outcome(false).await.1, expected, "responses of earlier requests change nothing");
        assert_eq!(clock.outcome(true).await.0, "open");
        clock.now += f64::from(u32::try_from(expected).unwrap());
        assert_eq!(
            clock.outcome(false).await,
            ("half_open".to_owned(), 0),
            "this is not the probe's response"
        );
        clock.send_when_permitted(Ask::READ).await;
        assert!(!clock.is_permitted(Ask::READ).await, "one probe");
        clock.observe(5_000, 4_000, 3_600_000).await;
        assert!(!clock.is_permitted(Ask::READ).await, "headers alone do not close it");
        state = clock.outcome(false).await;
    }
    clock.advance_minutes(1.0);
    clock.send_when_permitted(Ask::READ).await;
    assert_eq!(clock.outcome(true).await.0, "closed");
    assert!(clock.is_permitted(Ask::READ).await);
    for _ in 0..5 {
        state = clock.outcome(false).await;
    }
    assert_eq!(state, ("open".to_owned(), 5_000), "the wait is short again");
}
