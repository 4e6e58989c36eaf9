//! Order of jobs, lanes, teams and installations.

use std::time::Duration;

use domain::{JobId, Lane, TeamId};
use queue::{JobPlace, Lease, Ticket};

use crate::support::{TestQueue, in_lane, ticket, tickets};

fn ids(tickets: &[Ticket]) -> Vec<JobId> {
    tickets.iter().map(|ticket| ticket.job).collect()
}

fn per_lane(leases: &[Lease]) -> Vec<usize> {
    Lane::ALL.iter().map(|lane| leases.iter().filter(|lease| lease.lane == *lane).count()).collect()
}

#[tokio::test]
async fn flood_delays_only_its_own_team() {
    let test = TestQueue::new().await;
    let (a, b, c) = (TeamId::new(), TeamId::new(), TeamId::new());
    assert_eq!(test.queue.enqueue(&tickets(10_000, a)).await.unwrap(), 10_000);
    test.take(100).await;
    let of_b = tickets(10, b);
    let of_c: Vec<_> = tickets(30, c).into_iter().map(|ticket| Ticket { weight: 3.0, ..ticket }).collect();
    test.queue.enqueue(&of_b).await.unwrap();
    test.queue.enqueue(&of_c).await.unwrap();

    let first: Vec<JobId> = test.take(60).await.iter().map(|lease| lease.job).collect();
    let others = [ids(&of_b), ids(&of_c)].concat();
    assert!(others.iter().all(|job| first.contains(job)), "all of B and C are among the first 60");
    assert!(
        first.iter().filter(|job| !others.contains(job)).count() >= 10,
        "jobs of A are claimed in between"
    );
}

#[tokio::test]
async fn idle_team_gains_no_credit() {
    let test = TestQueue::new().await;
    let (busy, idle) = (TeamId::new(), TeamId::new());
    test.queue.enqueue(&tickets(50, busy)).await.unwrap();
    test.take(40).await;
    let late = tickets(20, idle);
    test.queue.enqueue(&late).await.unwrap();
    let next = test.take(10).await;
    let of_idle = next.iter().filter(|lease| ids(&late).contains(&lease.job)).count();
    assert_eq!(of_idle, 5, "they alternate from now on");
}

#[tokio::test]
async fn teams_at_the_clock_are_removed() {
    let test = TestQueue::new().await;
    for _ in 0..20 {
        test.queue.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    }
    let taken = test.take(20).await;
    let left: usize = test.ask(&["ZCARD", &test.key("teams:default:provision")]).await;
    assert_eq!((taken.len(), left), (20, 0));
}

#[tokio::test]
async fn lanes_get_their_shares_while_all_have_work() {
    let test = TestQueue::new().await;
    for lane in Lane::ALL {
        test.queue.enqueue(&in_lane(*lane, 200)).await.unwrap();
    }
    let counts = per_lane(&test.take(100).await);
    for (count, share) in counts.iter().zip([60, 25, 15]) {
        assert!(count.abs_diff(share) <= 1, "{counts:?}");
    }
}

#[tokio::test]
async fn unused_lane_shares_flow_to_the_others_without_credit() {
    let test = TestQueue::new().await;
    test.queue.enqueue(&in_lane(Lane::Drift, 60)).await.unwrap();
    assert_eq!(per_lane(&test.take(50).await), [0, 0, 50], "a lane alone gets all claims");

    test.queue.enqueue(&in_lane(Lane::Provision, 300)).await.unwrap();
    test.queue.enqueue(&in_lane(Lane::Deprovision, 300)).await.unwrap();
    test.queue.enqueue(&in_lane(Lane::Drift, 300)).await.unwrap();
    let counts = per_lane(&test.take(100).await);
    for (count, share) in counts.iter().zip([60, 25, 15]) {
        assert!(count.abs_diff(share) <= 2, "idle lanes gain no credit: {counts:?}");
    }
}

#[tokio::test]
async fn fairness_counts_costs_instead_of_jobs() {
    let test = TestQueue::new().await;
    let dear: Vec<_> = in_lane(Lane::Provision, 100).into_iter().map(|t| Ticket { cost: 4, ..t }).collect();
    test.queue.enqueue(&dear).await.unwrap();
    test.queue.enqueue(&in_lane(Lane::Drift, 100)).await.unwrap();
    let counts = per_lane(&test.take(40).await);
    assert!(counts[0].abs_diff(20) <= 1, "60 / 4 : 15 is one to one: {counts:?}");
}

#[tokio::test]
async fn overdue_job_is_claimed_first_without_advancing_the_clock() {
    let test = TestQueue::new().await;
    let (flood, other) = (TeamId::new(), TeamId::new());
    test.queue.enqueue(&tickets(1_000, flood)).await.unwrap();
    let old = Ticket { age: Duration::from_mins(8), time_left: Duration::from_mins(7), ..ticket(flood) };
    test.queue.enqueue(std::slice::from_ref(&old)).await.unwrap();
    assert_eq!(test.take(1).await[0].job, old.job);

    let newcomer = ticket(other);
    test.queue.enqueue(std::slice::from_ref(&newcomer)).await.unwrap();
    let next = test.take(2).await;
    assert!(next.iter().any(|lease| lease.job == newcomer.job), "the new team is not behind the flood");
}

fn overdue(count: usize, team: TeamId) -> Vec<Ticket> {
    let (age, time_left) = (Duration::from_mins(8), Duration::from_mins(7));
    tickets(count, team).into_iter().map(|ticket| Ticket { age, time_left, ..ticket }).collect()
}

#[tokio::test]
async fn flood_of_overdue_jobs_does_not_precede_new_teams() {
    let test = TestQueue::new().await;
    let (flood, other) = (TeamId::new(), TeamId::new());
    test.queue.enqueue(&overdue(1_250, flood)).await.unwrap();
    test.queue.enqueue(&tickets(1_250, flood)).await.unwrap();
    test.take(30).await;
    let newcomers = tickets(10, other);
    test.queue.enqueue(&newcomers).await.unwrap();
    let position = test.queue.position(newcomers[0].job).await.unwrap().unwrap();
    assert!(matches!(position.place, JobPlace::Ready { ahead: 0..=2 }), "{position:?}");
    let next: Vec<JobId> = test.take(22).await.iter().map(|lease| lease.job).collect();
    assert!(next[..3].contains(&newcomers[0].job), "the first of the new jobs is among the next three");
    assert!(newcomers.iter().all(|ticket| next.contains(&ticket.job)), "all of them are claimed in turn");
}

#[tokio::test]
async fn of_each_team_one_overdue_job_goes_first_until_its_turn_has_come() {
    let test = TestQueue::new().await;
    let (light, busy) = (TeamId::new(), TeamId::new());
    let of_light: Vec<_> = overdue(3, light).into_iter().map(|t| Ticket { weight: 0.1, ..t }).collect();
    test.queue.enqueue(&tickets(60, busy)).await.unwrap();
    test.queue.enqueue(&of_light).await.unwrap();
    let order: Vec<JobId> = test.take(40).await.iter().map(|lease| lease.job).collect();
    let places: Vec<_> = of_light.iter().filter_map(|t| order.iter().position(|job| *job == t.job)).collect();
    // Their turns are after 10, 20 and 30 of the others; each job starts one turn early.
    assert_eq!(places.len(), 3, "{places:?}");
    assert_eq!(places[0], 0);
    assert!((10..=12).contains(&places[1]) && (20..=23).contains(&places[2]), "{places:?}");
}

#[tokio::test]
async fn urgent_job_is_claimed_first_and_costs_its_team_nothing() {
    let test = TestQueue::new().await;
    let team = TeamId::new();
    test.queue.enqueue(&tickets(10, team)).await.unwrap();
    let urgent = Ticket { urgent: true, ..ticket(TeamId::new()) };
    test.queue.enqueue(std::slice::from_ref(&urgent)).await.unwrap();
    assert_eq!(test.take(1).await[0].job, urgent.job);
}

#[tokio::test]
async fn installations_take_turns() {
    let test = TestQueue::new().await;
    let mut other = in_lane(Lane::Provision, 50);
    for ticket in &mut other {
        ticket.installation = "other".parse().unwrap();
    }
    test.queue.enqueue(&in_lane(Lane::Provision, 50)).await.unwrap();
    test.queue.enqueue(&other).await.unwrap();
    let of_other = test.take(20).await.iter().filter(|l| l.installation.as_str() == "other").count();
    assert_eq!(of_other, 10);
}

#[tokio::test]
async fn snoozed_job_keeps_its_rank() {
    let test = TestQueue::new().await;
    test.queue.enqueue(&tickets(20, TeamId::new())).await.unwrap();
    let first = test.take(5).await.remove(0);
    assert!(test.queue.snooze(&first, std::time::Duration::from_hours(1)).await.unwrap());
    let second = test.take(1).await.remove(0);
    assert_ne!(second.job, first.job);
    test.make_due("delayed", Lane::Provision).await;
    let again = test.take(1).await.remove(0);
    assert_eq!((again.job, again.claims, again.rescues), (first.job, 2, 0));
}

#[tokio::test]
async fn job_that_becomes_urgent_is_claimed_next() {
    let test = TestQueue::new().await;
    let team = TeamId::new();
    let line = tickets(20, team);
    test.queue.enqueue(&line).await.unwrap();
    let late = Ticket { delay: Duration::from_hours(1), ..ticket(team) };
    test.queue.enqueue(std::slice::from_ref(&late)).await.unwrap();
    let urgent = |ticket: &Ticket| Ticket { urgent: true, ..ticket.clone() };
    assert_eq!(test.queue.enqueue(&[urgent(&line[19]), urgent(&late)]).await.unwrap(), 0, "none is new");
    assert_eq!(test.take(1).await[0].job, line[19].job);
    test.make_due("delayed", Lane::Provision).await;
    assert_eq!(test.take(1).await[0].job, late.job, "it keeps its place while it is delayed");
    // A leased job stays leased.
    test.queue.enqueue(&[urgent(&late)]).await.unwrap();
    assert_eq!(test.take(1).await[0].job, line[0].job);
}
