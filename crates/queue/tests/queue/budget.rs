//! GitHub's limits as claims apply them.

use std::{sync::Arc, time::Duration};

use domain::{InstallationId, JobId, Lane, TeamId};
use queue::{BudgetSettings, Call, Lease, Observation, Permit, Queue, Reason, Ticket};
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use crate::support::{TestQueue, claimer, in_lane, ticket, tickets, unlimited};

const HOUR: Duration = Duration::from_hours(1);
const DELETE: Call = Call { endpoint: "runner", write: true, registers: false, urgent: true };

fn home() -> InstallationId {
    InstallationId::default()
}

fn answer(resource: &str, limit: u64, remaining: u64) -> Observation {
    let resource = resource.to_owned();
    Observation { endpoint: None, resource, limit, remaining, reset_in: HOUR, reset: 1_800_000_000 }
}

/// Claims all jobs that may start now.
async fn drain(queue: &Queue) -> Vec<Lease> {
    let (claimer, mut all) = (claimer(), Vec::new());
    loop {
        let jobs = queue.claim(&claimer, 100).await.unwrap().jobs;
        if jobs.is_empty() {
            return all;
        }
        all.extend(jobs);
    }
}

fn in_lanes(leases: &[Lease]) -> Vec<usize> {
    Lane::ALL.iter().map(|lane| leases.iter().filter(|lease| lease.lane == *lane).count()).collect()
}

/// Limits with periods of a day, so that buckets do not drain during a test.
fn slow() -> BudgetSettings {
    let day = Duration::from_hours(24);
    BudgetSettings { minute: day, registrations_period: day, ..BudgetSettings::default() }
}

#[tokio::test]
async fn claim_pays_for_the_first_request() {
    let test = TestQueue::with_budget(&slow()).await;
    test.queue.observe(&home(), &answer("core", 5_000, 5_000)).await.unwrap();
    test.queue.enqueue(&tickets(30, TeamId::new())).await.unwrap();
    let claim = test.queue.claim(&claimer(), 30).await.unwrap();
    assert_eq!(claim.jobs.len(), 2, "10 points ahead, 5 a write");
    let view = test.queue.budget().await.unwrap().remove(0);
    assert_eq!((view.running, view.registrations_used), (2, 2));
    assert_eq!((view.points[0].endpoint.as_str(), view.points[0].used), ("generate-jitconfig", 10));
    assert_eq!((view.resources[0].limit, view.resources[0].remaining), (5_000, 4_998));
    assert_eq!(view.mutation_rate_per_minute, 180);

    test.queue.enqueue(&in_lane(Lane::Drift, 30)).await.unwrap();
    let next = drain(&test.queue).await;
    assert_eq!(in_lanes(&next), [0, 0, 10], "one lane's endpoint does not hold up the others");
}

#[tokio::test]
async fn own_requests_are_distinguished_from_observed_ones() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    test.queue.enqueue(&in_lane(Lane::Provision, 20)).await.unwrap();
    test.queue.enqueue(&in_lane(Lane::Drift, 20)).await.unwrap();
    let taken = drain(&test.queue).await;
    assert_eq!(taken.len(), 10, "the window is unknown");
    let wait = test.queue.permit(&home(), &DELETE).await.unwrap();
    assert!(matches!(wait, Permit::Wait(left) if left <= Duration::from_secs(30)), "{wait:?}");
    test.queue.observe(&home(), &answer("core", 5_000, 4_000)).await.unwrap();
    assert!(!drain(&test.queue).await.is_empty());
}

#[tokio::test]
async fn flush_allows_one_small_burst() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    for lane in Lane::ALL {
        test.queue.enqueue(&in_lane(*lane, 50)).await.unwrap();
    }
    test.queue.observe(&home(), &answer("core", 5_000, 4_000)).await.unwrap();
    drain(&test.queue).await;
    test.flush().await;
    for lane in Lane::ALL {
        test.queue.enqueue(&in_lane(*lane, 50)).await.unwrap();
    }
    assert_eq!(drain(&test.queue).await.len(), 10);
}

#[tokio::test]
async fn reserve_is_for_deprovision_and_urgent_calls_alone() {
    let test = TestQueue::with_budget(&BudgetSettings::default()).await;
    test.queue.observe(&home(), &answer("core", 100, 12)).await.unwrap();
    for lane in Lane::ALL {
        test.queue.enqueue(&in_lane(*lane, 20)).await.unwrap();
    }
    test.queue.pause_lane(Lane::Deprovision, HOUR).await.unwrap();
    let taken = drain(&test.queue).await;
    assert_eq!(taken.len(), 2, "90 of 100 are for all requests");
    let normal = Call { urgent: false, ..DELETE };
    assert!(matches!(test.queue.permit(&home(), &normal).await.unwrap(), Permit::Wait(_)));
    assert_eq!(test.queue.permit(&home(), &DELETE).await.unwrap(), Permit::Granted);
    test.queue.resume_lane(Lane::Deprovision).await.unwrap();
    let job = tickets(1, TeamId::new()).remove(0);
    test.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    let position = test.queue.position(job.job).await.unwrap().unwrap();
    assert_eq!(position.pause.unwrap().reason, Reason::Budget);

    let mut deletes = 0;
    while test.queue.budget().await.unwrap()[0].resources[0].remaining > 0 {
        let jobs = test.queue.claim(&claimer(), 1).await.unwrap().jobs;
        assert!(jobs.iter().all(|lease| lease.lane == Lane::Deprovision));
        deletes += jobs.len();
    }
    assert_eq!(deletes, 9);
    test.queue.observe(&home(), &answer("core", 100, 0)).await.unwrap();
    let Permit::Wait(wait) = test.queue.permit(&home(), &DELETE).await.unwrap() else {
        panic!("all is used")
    };
    assert!(wait > Duration::from_mins(59), "until the reset: {wait:?}");
}

#[tokio::test]
async fn each_resource_has_a_window_and_endpoints_learn_theirs() {
    let test = TestQueue::with_budget(&slow()).await;
    let jit = Observation {
        endpoint: Some("generate-jitconfig"),
        ..answer("actions_runner_registration", 10_000, 1_002)
    };
    test.queue.observe(&home(), &jit).await.unwrap();
    test.queue.observe(&home(), &answer("core", 5_000, 5_000)).await.unwrap();
    test.queue.enqueue(&tickets(20, TeamId::new())).await.unwrap();
    assert_eq!(drain(&test.queue).await.len(), 2, "1,000 are the reserve");
    test.queue.enqueue(&in_lane(Lane::Drift, 4)).await.unwrap();
    assert_eq!(drain(&test.queue).await.len(), 4);
    let mut resources = test.queue.budget().await.unwrap().remove(0).resources;
    resources.sort_by(|a, b| a.resource.cmp(&b.resource));
    let left: Vec<u64> = resources.iter().map(|window| window.remaining).collect();
    assert_eq!(left, [1_000, 4_996]);
}

#[tokio::test]
async fn number_of_leases_is_limited_by_the_concurrency() {
    let test = TestQueue::with_budget(&BudgetSettings { concurrency: 3, ..unlimited() }).await;
    test.queue.enqueue(&tickets(4, TeamId::new())).await.unwrap();
    test.queue.enqueue(&in_lane(Lane::Deprovision, 4)).await.unwrap();
    let held = drain(&test.queue).await;
    assert_eq!(held.len(), 3);
    test.ask::<i64>(&["DEL", &test.key("wakeup")]).await;
    assert!(test.queue.finish(&held[0]).await.unwrap());
    assert_eq!(
        test.ask::<i64>(&["LLEN", &test.key("wakeup")]).await,
        1,
        "a worker is woken for the free slot"
    );
    assert_eq!(drain(&test.queue).await.len(), 1);
    for lane in Lane::ALL {
        test.make_due("leased", *lane).await;
    }
    assert_eq!(drain(&test.queue).await.len(), 3, "expired leases free their slots");
}

#[tokio::test]
async fn installation_without_limits_sends_all_at_once() {
    let test = TestQueue::with_budget(&BudgetSettings { enabled: false, ..slow() }).await;
    test.queue.enqueue(&tickets(40, TeamId::new())).await.unwrap();
    assert_eq!(drain(&test.queue).await.len(), 40);
    assert_eq!(test.queue.permit(&home(), &DELETE).await.unwrap(), Permit::Granted);
}

#[tokio::test]
async fn each_installation_has_its_own_budget() {
    let test = TestQueue::with_budget(&slow()).await;
    let mut other = tickets(20, TeamId::new());
    for ticket in &mut other {
        ticket.installation = "other".parse().unwrap();
    }
    test.queue.enqueue(&tickets(20, TeamId::new())).await.unwrap();
    test.queue.enqueue(&other).await.unwrap();
    let taken = drain(&test.queue).await;
    let of_other = taken.iter().filter(|lease| lease.installation.as_str() == "other").count();
    assert_eq!((taken.len(), of_other), (4, 2));
}

#[tokio::test]
async fn flood_of_jobs_delays_only_its_team_under_a_budget() {
    let brief = Duration::from_millis(200);
    let budget = BudgetSettings {
        minute: brief,
        registrations_period: brief,
        team_running: 400,
        concurrency: 400,
        ..BudgetSettings::default()
    };
    let test = TestQueue::with_budget(&budget).await;
    test.queue.observe(&home(), &answer("core", 100_000, 100_000)).await.unwrap();
    let (a, b) = (TeamId::new(), TeamId::new());
    test.queue.enqueue(&tickets(2_000, a)).await.unwrap();
    let claimer = claimer();
    let mut taken: Vec<JobId> = Vec::new();
    while taken.len() < 50 {
        taken.extend(test.queue.claim(&claimer, 10).await.unwrap().jobs.iter().map(|lease| lease.job));
    }
    let of_b = tickets(10, b);
    test.queue.enqueue(&of_b).await.unwrap();
    let from = taken.len();
    while taken.len() < from + 30 {
        taken.extend(test.queue.claim(&claimer, 10).await.unwrap().jobs.iter().map(|lease| lease.job));
    }
    let next = &taken[from..from + 25];
    assert!(of_b.iter().all(|ticket| next.contains(&ticket.job)), "all jobs of B are among the next 25");
    assert!(next.len() - of_b.len() >= 10, "jobs of A are claimed in between");
}

/// A permitted request, between two times of Redis's clock in microseconds.
struct Grant {
    earliest: u64,
    latest: u64,
    points: u64,
}

async fn micros(connection: &mut MultiplexedConnection) -> u64 {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await.unwrap();
    seconds * 1_000_000 + micros
}

/// Alternates between writes and claims of jobs whose first request is a read, until `points` are used.
async fn spend(test: Arc<TestQueue>, points: u64) -> Vec<Grant> {
    let (mut clock, claimer) = (test.open_connection().await, claimer());
    let mut grants: Vec<Grant> = Vec::new();
    while grants.iter().map(|grant| grant.points).sum::<u64>() < points {
        let earliest = micros(&mut clock).await;
        if test.queue.permit(&home(), &DELETE).await.unwrap() == Permit::Granted {
            grants.push(Grant { earliest, latest: micros(&mut clock).await, points: 5 });
        }
        let earliest = micros(&mut clock).await;
        let points = test.queue.claim(&claimer, 3).await.unwrap().jobs.len() as u64;
        grants.push(Grant { earliest, latest: micros(&mut clock).await, points });
    }
    grants
}

#[tokio::test]
async fn concurrent_callers_never_exceed_the_limit_of_a_window() {
    let minute = Duration::from_millis(300);
    let settings = BudgetSettings { enabled: true, points_per_minute: 100, minute, ..unlimited() };
    let test = Arc::new(TestQueue::with_budget(&settings).await);
    test.queue.observe(&home(), &answer("core", 100_000, 100_000)).await.unwrap();
    test.queue.enqueue(&in_lane(Lane::Drift, 1_000)).await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        tasks.spawn(spend(test.clone(), 100));
    }
    let grants: Vec<Grant> = tasks.join_all().await.into_iter().flatten().collect();
    for Grant { earliest: from, .. } in &grants {
        let end = from + 300_000;
        let inside = grants.iter().filter(|grant| grant.earliest >= *from && grant.latest <= end);
        let points: u64 = inside.map(|grant| grant.points).sum();
        assert!(points <= 100, "{points}");
    }
}

#[tokio::test]
async fn budget_lists_installations_that_only_hold_jobs() {
    let test = TestQueue::new().await;
    let job = Ticket { installation: "third".parse().unwrap(), ..ticket(TeamId::new()) };
    test.queue.enqueue(&[job]).await.unwrap();
    let views = test.queue.budget().await.unwrap();
    let listed: Vec<&str> = views.iter().map(|view| view.installation.as_str()).collect();
    assert_eq!(listed, ["default", "other", "third"]);
}

#[tokio::test]
async fn names_are_checked() {
    let queue = TestQueue::new().await.queue;
    for resource in ["", "Core", "a b", "x:y", &"r".repeat(41)] {
        assert!(queue.observe(&home(), &answer(resource, 1, 1)).await.is_err(), "{resource}");
    }
    assert!(queue.permit(&home(), &Call { endpoint: "/runner", ..DELETE }).await.is_err());
}
