//! The signal over all depths of a queue, and what bounds it.

use std::time::Duration;

use super::*;
use crate::{TeamPicture, WindowPicture};

/// Slots of each worker.
const SLOTS: u64 = 8;
/// Most starts in 10 s that a budget with GitHub's documented limits allows: 180 writes a minute.
const MOST_STARTS: u64 = 30;

fn home() -> InstallationId {
    InstallationId::default()
}

fn lane(lane: Lane, waiting: u64, running: u64) -> LanePicture {
    LanePicture { installation: home(), lane, waiting, delayed: 0, running, oldest: Duration::ZERO }
}

fn budget() -> BudgetPicture {
    BudgetPicture {
        installation: home(),
        pool: home(),
        breaker: BreakerPicture::Closed,
        windows: vec![WindowPicture {
            resource: "core".to_owned(),
            limit: 15_000,
            remaining: 12_000,
            reset_in: Duration::from_mins(30),
        }],
        points: None,
        points_limit: Some(900),
        registrations: 0,
        registrations_limit: Some(1_500),
        writes_per_minute: 180,
    }
}

fn queue(waiting: u64, running: u64, budget: BudgetPicture) -> QueuePicture {
    QueuePicture {
        lanes: vec![lane(Lane::Provision, waiting, running)],
        budgets: vec![budget],
        ..QueuePicture::default()
    }
}

fn pause(scope: PauseScope, cause: PauseCause) -> PausePicture {
    PausePicture { scope, cause, left: Duration::from_mins(5), by: None, reason: None }
}

fn jobs(queue: &QueuePicture, reason: BlockedOn) -> u64 {
    queue.scaling().waiting.iter().filter(|row| row.reason == reason).map(|row| row.jobs).sum()
}

#[test]
fn no_backlog_asks_for_workers_that_the_budget_leaves_idle() {
    for running in [0, 3, 40, 80] {
        let mut last = 0;
        for waiting in 0..=10_000 {
            let queue = queue(waiting, running, budget());
            let scaling = queue.scaling();
            let wanted = scaling.workers_wanted(SLOTS);
            let busy = running + waiting.min(MOST_STARTS).min(MAX_RUNNING - running);
            assert_eq!(wanted, busy.div_ceil(SLOTS).max(1), "{waiting} waiting, {running} running");
            assert!(wanted >= last, "a longer queue never asks for fewer workers");
            last = wanted;
            let all: u64 = scaling.waiting.iter().map(|row| row.jobs).sum();
            assert_eq!(all, waiting, "every waiting job has one reason");
        }
    }
}

#[test]
fn each_limit_bounds_the_starts() {
    let few_writes = BudgetPicture { writes_per_minute: 12, ..budget() };
    let few_points = BudgetPicture { points_limit: Some(60), ..budget() };
    let few_registrations = BudgetPicture { registrations_limit: Some(30), ..budget() };
    let window = |remaining, reset_in| WindowPicture { remaining, reset_in, ..budget().windows[0].clone() };
    let reserve_alone = BudgetPicture { windows: vec![window(1_500, Duration::from_mins(30))], ..budget() };
    let almost_over = BudgetPicture { windows: vec![window(0, Duration::from_secs(5))], ..budget() };
    let own_window =
        WindowPicture { resource: REGISTRATIONS.to_owned(), ..window(7, Duration::from_mins(9)) };
    let registrations_alone = BudgetPicture { windows: vec![own_window], ..budget() };
    let unlimited = BudgetPicture { points_limit: None, registrations_limit: None, ..budget() };
    for (budget, starts) in [
        (few_writes, 2),
        (few_points, 6),
        (few_registrations, 5),
        (reserve_alone, 0),
        (almost_over, MOST_STARTS),
        (registrations_alone, 7),
        (unlimited, MAX_RUNNING),
    ] {
        let queue = queue(10_000, 0, budget);
        assert_eq!(jobs(&queue, BlockedOn::Worker), starts, "{:?}", queue.budgets);
        assert_eq!(jobs(&queue, BlockedOn::Budget), 10_000 - starts);
    }
}

#[test]
fn removals_may_use_the_reserve_and_share_the_writes() {
    let mut scarce = budget();
    scarce.windows[0].remaining = 1_500;
    let mut queue = queue(100, 0, scarce);
    queue.lanes.push(lane(Lane::Deprovision, 100, 0));
    queue.lanes.push(lane(Lane::Drift, 100, 0));
    let startable = |lane: Lane, queue: &QueuePicture| {
        let rows = queue.scaling().waiting;
        rows.iter().find(|row| row.lane == lane && row.reason == BlockedOn::Worker).unwrap().jobs
    };
    let all = |queue: &QueuePicture| Lane::ALL.iter().map(|lane| startable(*lane, queue)).collect::<Vec<_>>();
    assert_eq!(all(&queue), [0, 30, 0]);
    queue.budgets[0] = budget();
    assert_eq!(all(&queue), [30, 0, 50], "30 writes and, up to 80 jobs at once, reads");
}

#[test]
fn halted_jobs_want_no_worker_and_say_why() {
    let here = || PauseScope::Installation(home());
    for (pauses, breaker, reason) in [
        (vec![pause(here(), PauseCause::Admin)], BreakerPicture::Closed, BlockedOn::Paused),
        (
            vec![pause(PauseScope::Lane(Lane::Provision), PauseCause::Admin)],
            BreakerPicture::Closed,
            BlockedOn::Paused,
        ),
        (vec![pause(here(), PauseCause::Outage)], BreakerPicture::Closed, BlockedOn::GithubOutage),
        (vec![], BreakerPicture::HalfOpen, BlockedOn::GithubOutage),
        (vec![pause(here(), PauseCause::Window)], BreakerPicture::Closed, BlockedOn::Budget),
        (vec![pause(here(), PauseCause::SecondaryLimit)], BreakerPicture::Closed, BlockedOn::Budget),
    ] {
        let queue = QueuePicture { pauses, ..queue(500, 0, BudgetPicture { breaker, ..budget() }) };
        assert_eq!((jobs(&queue, reason), queue.scaling().workers_wanted(SLOTS)), (500, 1));
    }
    let elsewhere = pause(PauseScope::Installation("games".parse().unwrap()), PauseCause::Admin);
    let drift = pause(PauseScope::Lane(Lane::Drift), PauseCause::Admin);
    let queue = QueuePicture { pauses: vec![elsewhere, drift], ..queue(500, 0, budget()) };
    assert_eq!(queue.scaling().workers_wanted(SLOTS), 4);
}

#[test]
fn jobs_that_their_teams_limit_holds_want_no_worker() {
    let held = TeamPicture {
        installation: home(),
        team: "ci".to_owned(),
        waiting: 500,
        held: 495,
        held_in_all: 495,
    };
    let queue = QueuePicture { teams: vec![held], ..queue(500, 40, budget()) };
    assert_eq!((jobs(&queue, BlockedOn::Worker), jobs(&queue, BlockedOn::Budget)), (5, 495));
    assert_eq!(queue.scaling().workers_wanted(SLOTS), 6);
}

#[test]
fn installations_add_up_and_a_new_one_is_bounded_by_its_running_jobs() {
    let games = LanePicture { installation: "games".parse().unwrap(), ..lane(Lane::Provision, 10_000, 0) };
    let mut queue = queue(10_000, 0, budget());
    queue.lanes.push(games);
    assert_eq!(jobs(&queue, BlockedOn::Worker), MOST_STARTS + MAX_RUNNING);
    assert_eq!(queue.scaling().workers_wanted(0), MOST_STARTS + MAX_RUNNING, "a worker has a slot at least");
    assert_eq!(QueuePicture::default().scaling().workers_wanted(SLOTS), 1);
}

#[test]
fn second_app_adds_its_starts_until_the_registrations_of_the_organization() {
    let second: InstallationId = "second".parse().unwrap();
    let further = BudgetPicture { installation: second.clone(), registrations_limit: None, ..budget() };
    let mut queue = queue(10_000, 0, budget());
    assert_eq!(jobs(&queue, BlockedOn::Worker), MOST_STARTS);
    queue.budgets.push(further);
    // 1,500 in five minutes: 50 in ten seconds, and a burst.
    assert_eq!(jobs(&queue, BlockedOn::Worker), 50 + MAX_BURST);
    queue.pauses.push(pause(PauseScope::Installation(home()), PauseCause::Suspended));
    assert_eq!(jobs(&queue, BlockedOn::Worker), MOST_STARTS, "the other App goes on");
    queue.pauses.push(pause(PauseScope::Installation(second), PauseCause::Outage));
    assert_eq!((jobs(&queue, BlockedOn::Worker), jobs(&queue, BlockedOn::Paused)), (0, 10_000));
}
