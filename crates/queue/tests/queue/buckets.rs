//! The arithmetic of the buckets, under a clock the test moves.

use std::{collections::HashMap, time::Duration};

use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    test_runner::{Config, TestRunner},
};
use queue::{BudgetSettings, Permit};

use crate::{
    clock::{Ask, Clock},
    support::TestQueue,
};

const MINUTE: f64 = 60_000.0;

async fn clock(budget: &BudgetSettings) -> Clock {
    let mut clock = Clock::of(TestQueue::with_budget(budget).await).await;
    clock.open_window().await;
    clock
}

/// Returns the largest number of grants in any window of this length.
fn most_in(grants: &[f64], window: f64) -> usize {
    let last = |from: f64| grants.partition_point(|at| *at <= from + window);
    grants.iter().enumerate().map(|(n, from)| last(*from) - n).max().unwrap_or(0)
}

/// Asks for permits without a break for `minutes`.
async fn greedy(clock: &mut Clock, ask: Ask, minutes: f64) -> Vec<f64> {
    let (mut grants, until) = (Vec::new(), clock.now + minutes * MINUTE);
    loop {
        clock.send_when_permitted(ask).await;
        if clock.now > until {
            return grants;
        }
        grants.push(clock.now);
    }
}

#[tokio::test]
async fn no_minute_has_more_than_900_points_and_most_of_them_can_be_used() {
    let mut clock = clock(&BudgetSettings::default()).await;
    let grants = greedy(&mut clock, Ask::WRITE, 3.0).await;
    assert!(most_in(&grants, MINUTE) <= 180, "{}", most_in(&grants, MINUTE));
    let late = grants.iter().filter(|at| **at > clock.now - MINUTE).count();
    assert!(late >= 170, "95 % of the points: {late}");
    assert!(most_in(&grants, 0.0) <= 10, "a small burst");
}

#[tokio::test]
async fn reads_cost_less_and_burst_no_more() {
    let mut clock = clock(&BudgetSettings::default()).await;
    let grants = greedy(&mut clock, Ask::READ, 2.0).await;
    assert!(most_in(&grants, MINUTE) <= 900, "{}", most_in(&grants, MINUTE));
    assert!(grants.iter().filter(|at| **at > clock.now - MINUTE).count() >= 854);
    assert_eq!(most_in(&grants, 0.0), 10);
}

#[tokio::test]
async fn registrations_of_five_minutes_stay_within_the_limit() {
    let budget =
        BudgetSettings { points_per_minute: 1_000_000, registrations: 300, ..BudgetSettings::default() };
    let mut clock = clock(&budget).await;
    let grants = greedy(&mut clock, Ask::PROVISION, 11.0).await;
    assert!(most_in(&grants, 5.0 * MINUTE) <= 300);
    let late = grants.iter().filter(|at| **at > clock.now - 5.0 * MINUTE).count();
    assert!(late >= 285, "95 %: {late}");
    assert!(most_in(&grants, 0.0) <= 10);
}

#[tokio::test]
async fn endpoints_have_buckets_of_their_own() {
    let mut clock = clock(&BudgetSettings::default()).await;
    while clock.is_permitted(Ask::PROVISION).await {}
    assert!(clock.is_permitted(Ask::WRITE).await);
    assert!(!clock.is_permitted(Ask::PROVISION).await);
}

#[tokio::test]
async fn secondary_limit_halves_the_write_rate_until_it_recovers() {
    let mut clock = clock(&BudgetSettings::default()).await;
    assert_eq!(clock.read_mutation_rate().await, 180_000);
    assert_eq!(clock.report_secondary_limit(60_000).await, 60_000);
    assert_eq!(clock.report_secondary_limit(30_000).await, 60_000, "never shortened");
    assert_eq!(
        clock.read_mutation_rate().await,
        90_000,
        "responses to earlier requests do not halve the rate again"
    );
    clock.advance_minutes(1.9);
    assert_eq!(
        clock.read_mutation_rate().await,
        90_000,
        "the pause does not count as a minute without limits"
    );
    clock.advance_minutes(1.2);
    assert_eq!(clock.read_mutation_rate().await, 99_225, "two minutes without limits");
    clock.advance_minutes(60.0);
    assert_eq!(clock.read_mutation_rate().await, 180_000, "no more than the points allow");
    for _ in 0..10 {
        clock.report_secondary_limit(1_000).await;
        clock.now += 1_001.0;
    }
    assert_eq!(clock.read_mutation_rate().await, 6_000);
    clock.open_window().await;
    clock.send_when_permitted(Ask::WRITE).await;
    clock.open_window().await;
    let grants = greedy(&mut clock, Ask::WRITE, 2.0).await;
    assert!(most_in(&grants, MINUTE - 1.0) <= 7 && grants.len() >= 10, "{grants:?}");
    assert!(clock.is_permitted(Ask::READ).await, "reads go on");
}

#[tokio::test]
async fn write_instead_of_the_prepaid_one_pays_the_difference() {
    let other = Ask { endpoint: "delete-runner", ..Ask::WRITE };
    let mut clock = clock(&BudgetSettings::default()).await;
    clock.report_secondary_limit(1_000).await;
    clock.now += 1_001.0;
    clock.send_when_permitted(Ask::WRITE).await;
    clock.open_window().await;
    while clock.is_permitted(Ask::WRITE).await {}
    assert!(!clock.is_permitted(other).await, "all writes share one rate while they are slowed down");
    assert_eq!(clock.request_permit_instead(other, true).await, Permit::Granted);
    while clock.request_permit_instead(other, true).await == Permit::Granted {}
    clock.now += 1_000.0;
    assert_eq!(
        clock.request_permit_instead(other, true).await,
        Permit::Granted,
        "the points of its endpoint are returned"
    );
    assert!(clock.is_permitted(Ask::WRITE).await, "the shared rate is unchanged");
}

#[tokio::test]
async fn late_request_counts_when_it_is_sent() {
    let mut clock = clock(&BudgetSettings::default()).await;
    clock.open_window().await;
    let paid = greedy(&mut clock, Ask::WRITE, 1.0 / 3.0).await;
    assert!(paid.len() >= 60, "{}", paid.len());
    let mut sent = Vec::new();
    for at in &paid {
        assert_eq!(
            clock.request_late_permit(Ask::WRITE, *at).await,
            Permit::Granted,
            "a prepaid request never waits"
        );
        sent.push(clock.now);
    }
    sent.extend(greedy(&mut clock, Ask::WRITE, 1.0).await);
    assert!(most_in(&sent, MINUTE - 1.0) <= 181, "{}", most_in(&sent, MINUTE - 1.0));
    assert!(sent.len() > 160, "{}", sent.len());
}

#[tokio::test]
async fn prompt_request_counts_once() {
    let mut clock = clock(&BudgetSettings::default()).await;
    clock.open_window().await;
    clock.send_when_permitted(Ask::WRITE).await;
    let paid = clock.now;
    while clock.is_permitted(Ask::WRITE).await {}
    let before = clock.permit(Ask::WRITE).await;
    assert_eq!(clock.request_late_permit(Ask::WRITE, paid).await, Permit::Granted);
    assert_eq!(clock.permit(Ask::WRITE).await, before);
}

#[tokio::test]
async fn clock_that_steps_back_delays_requests_briefly() {
    let mut clock = clock(&BudgetSettings::default()).await;
    while clock.is_permitted(Ask::WRITE).await {}
    clock.now -= 3_600_000.0;
    let Permit::Wait(wait) = clock.permit(Ask::WRITE).await else { panic!("the bucket was empty") };
    assert!(wait < Duration::from_secs(1), "{wait:?}");
}

/// Second implementation for comparison: it keeps the requests themselves instead of a level.
#[derive(Default)]
struct Model {
    points: HashMap<&'static str, Vec<(f64, u32)>>,
    registrations: Vec<(f64, u32)>,
    /// Time at which a bucket that drains evenly is empty, as (time, ms a unit).
    free: HashMap<(&'static str, u8), f64>,
}

#[derive(Clone, Copy)]
struct Leak {
    name: (&'static str, u8),
    cost: f64,
    burst: f64,
    pace: f64,
}

/// Limits small enough to be reached often: 200 points and 40 registrations a second.
fn small() -> BudgetSettings {
    BudgetSettings {
        points_per_minute: 200,
        minute: Duration::from_secs(1),
        registrations: 40,
        registrations_period: Duration::from_secs(1),
        ..BudgetSettings::default()
    }
}

impl Model {
    fn leaks(ask: Ask) -> Vec<Leak> {
        // The bucket uses 60/61 of the rate.
        let second = 1_000.0 * 61.0 / 60.0;
        let pace = second / 195.0;
        let cost = if ask.write { 5.0 } else { 1.0 };
        let mut leaks = vec![Leak { name: (ask.endpoint, 0), cost, burst: 5.0, pace }];
        if !ask.write {
            leaks.push(Leak { name: (ask.endpoint, 1), cost: 1.0, burst: 10.0, pace });
        }
        if ask.registers {
            leaks.push(Leak { name: ("", 2), cost: 1.0, burst: 1.0, pace: second / 39.0 });
        }
        leaks
    }

    fn wait(&self, ask: Ask, now: f64) -> f64 {
        let wait = |leak: &Leak| {
            let level = (self.free.get(&leak.name).copied().unwrap_or(0.0) - now).max(0.0) / leak.pace;
            (level + leak.cost - leak.burst).max(0.0) * leak.pace
        };
        Self::leaks(ask).iter().map(wait).fold(0.0, f64::max)
    }

    fn take(&mut self, ask: Ask, now: f64) {
        for leak in Self::leaks(ask) {
            let free = self.free.entry(leak.name).or_insert(0.0);
            *free = free.max(now) + leak.cost * leak.pace;
        }
        self.points.entry(ask.endpoint).or_default().push((now, if ask.write { 5 } else { 1 }));
        if ask.registers {
            self.registrations.push((now, 1));
        }
    }

    fn check(&self) {
        let most = |grants: &[(f64, u32)]| {
            let within = |from: f64| grants.iter().filter(move |g| g.0 >= from && g.0 <= from + 1_000.0);
            grants.iter().map(|g| within(g.0).map(|g| g.1).sum::<u32>()).max().unwrap_or(0)
        };
        assert!(self.points.values().all(|grants| most(grants) <= 200));
        assert!(most(&self.registrations) <= 40);
    }
}

fn ask() -> impl Strategy<Value = (Ask, u32)> {
    let kind = (0..3_usize).prop_map(|n| [Ask::READ, Ask::WRITE, Ask::PROVISION][n]);
    (kind, any::<bool>(), 0..60_u32).prop_map(|(ask, jump, ms)| (ask, if jump { ms } else { 0 }))
}

#[test]
fn buckets_agree_with_their_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&vec(ask(), 1..150), |asks| {
            runtime.block_on(async {
                let mut clock = clock(&small()).await;
                let mut model = Model::default();
                for (ask, ms) in asks {
                    clock.now += f64::from(ms);
                    let expected = model.wait(ask, clock.now);
                    match clock.permit(ask).await {
                        Permit::Granted => {
                            assert!(expected < 0.5, "{expected}");
                            model.take(ask, clock.now);
                        }
                        Permit::Wait(wait) => {
                            let wait = wait.as_secs_f64() * 1_000.0;
                            assert!((0.0..1.5).contains(&(wait - expected + 0.25)), "{wait} {expected}");
                            let held = clock.now;
                            clock.now += wait;
                            assert!(clock.is_permitted(ask).await, "the wait is enough");
                            model.take(ask, clock.now);
                            assert!(clock.now > held);
                        }
                    }
                }
                model.check();
            });
            Ok(())
        })
        .unwrap();
}
