//! App pools: the claim chooses the App that pays, and what that App paid returns to it.

use std::{collections::BTreeMap, time::Duration};

use domain::{InstallationId, TeamId};
use queue::{
    BudgetSettings, BudgetView, InstallationBudget, Lease, Observation, PoolPlace, ProspectiveJob, Reason,
    Settle,
};

use crate::support::{TestQueue, claimer, ticket, wide};

const MINUTE: Duration = Duration::from_mins(1);

fn id(name: &str) -> InstallationId {
    name.parse().unwrap()
}

/// The pool `default` with the further Apps `b` and `c`.
fn pool(settings: &BudgetSettings) -> Vec<InstallationBudget> {
    let budget =
        |name: &str, place| InstallationBudget { installation: id(name), settings: settings.clone(), place };
    let further = || PoolPlace::Further(id("default"));
    let first = budget("default", PoolPlace::First(vec![id("b"), id("c")]));
    vec![first, budget("b", further()), budget("c", further())]
}

async fn pool_with(settings: &BudgetSettings) -> TestQueue {
    let test = TestQueue::new().await;
    test.queue.write_budgets(&pool(settings), false).await.unwrap();
    test
}

async fn report_window(test: &TestQueue, app: &str, limit: u64, remaining: u64) {
    let reset_in = Duration::from_mins(50);
    let window =
        Observation { endpoint: None, resource: "core".into(), limit, remaining, reset_in, reset: 1_000 };
    test.queue.observe(&id(app), &window).await.unwrap();
}

async fn enqueue(test: &TestQueue, number: usize) {
    let team = TeamId::new();
    let tickets: Vec<_> = (0..number).map(|_| ticket(team)).collect();
    test.queue.enqueue(&tickets).await.unwrap();
}

fn by_app(leases: &[Lease]) -> BTreeMap<&str, usize> {
    let mut sums = BTreeMap::new();
    for lease in leases {
        assert_eq!(lease.installation, id("default"), "the job is the pool's");
        *sums.entry(lease.app.as_str()).or_default() += 1;
    }
    sums
}

async fn view(test: &TestQueue, app: &str) -> BudgetView {
    let all = test.queue.budget().await.unwrap();
    all.into_iter().find(|one| one.installation == id(app)).unwrap()
}

#[tokio::test]
async fn claims_use_the_apps_in_proportion_to_their_windows() {
    let test = pool_with(&wide()).await;
    report_window(&test, "default", 10_000, 10_000).await;
    report_window(&test, "b", 5_000, 5_000).await;
    report_window(&test, "c", 5_000, 2_500).await;
    enqueue(&test, 700).await;
    let mut leases = Vec::new();
    for _ in 0..5 {
        leases.extend(test.queue.claim(&claimer(), 100).await.unwrap().jobs);
    }
    // Half of the window of `c` is used: the others first come down to it.
    assert_eq!(by_app(&leases), BTreeMap::from([("b", 167), ("default", 333)]));
    for (app, running) in [("default", 333), ("b", 167), ("c", 0)] {
        let seen = view(&test, app).await;
        assert_eq!((seen.running, seen.pool), (running, id("default")), "{app}");
    }
}

#[tokio::test]
async fn all_apps_share_the_registrations_of_the_organization() {
    let limits = BudgetSettings { registrations: 900, registrations_period: 5 * MINUTE, ..wide() };
    let test = pool_with(&limits).await;
    for app in ["default", "b", "c"] {
        report_window(&test, app, 5_000, 5_000).await;
    }
    enqueue(&test, 60).await;
    let claim = test.queue.claim(&claimer(), 60).await.unwrap();
    assert_eq!(claim.jobs.len(), 10, "one burst for all of them, not one for each");
    assert!(!claim.wait.is_zero());
    assert_eq!(view(&test, "default").await.registrations_used, 10);
    assert_eq!(view(&test, "b").await.registrations_limit, None);
    let lease = claim.jobs.iter().find(|lease| lease.app != lease.installation).unwrap();
    assert!(test.queue.settle_unsent(lease, Settle::Finish).await.unwrap());
    assert_eq!(view(&test, "default").await.registrations_used, 9, "the refund is the pool's too");
}

#[tokio::test]
async fn refund_goes_to_the_app_that_paid() {
    let test = pool_with(&wide()).await;
    for (app, left) in [("default", 1_000), ("b", 5_000), ("c", 1_000)] {
        report_window(&test, app, 5_000, left).await;
    }
    enqueue(&test, 1).await;
    let lease = test.take(1).await.remove(0);
    assert_eq!(lease.app, id("b"));
    assert_eq!(view(&test, "b").await.resources[0].remaining, 4_999);
    assert!(test.queue.settle_unsent(&lease, Settle::Release).await.unwrap());
    let seen = view(&test, "b").await;
    assert_eq!((seen.resources[0].remaining, seen.running), (5_000, 0));
    assert_eq!(view(&test, "default").await.resources[0].remaining, 1_000);
}

#[tokio::test]
async fn paused_app_costs_only_its_share_and_the_pools_pause_stops_all() {
    let test = pool_with(&wide()).await;
    for app in ["default", "b", "c"] {
        report_window(&test, app, 5_000, 5_000).await;
    }
    enqueue(&test, 40).await;
    // The first App is suspended by GitHub, `b` paused by an administrator, `c` works.
    test.queue.pause(&id("default"), MINUTE, Reason::Suspended).await.unwrap();
    test.queue.pause(&id("b"), MINUTE, Reason::Admin).await.unwrap();
    let claim = test.queue.claim(&claimer(), 10).await.unwrap();
    assert_eq!(by_app(&claim.jobs), BTreeMap::from([("c", 10)]));
    let team = Some(TeamId::new());
    let (installation, lane) = (id("default"), domain::Lane::Provision);
    let job = ProspectiveJob { installation, lane, team, weight: 1.0, cost: 1 };
    assert_eq!(test.queue.forecast(&job).await.unwrap().pause, None, "jobs of the pool go on");
    test.queue.pause(&id("default"), MINUTE, Reason::Admin).await.unwrap();
    assert!(test.queue.claim(&claimer(), 10).await.unwrap().jobs.is_empty(), "the whole pool is paused");
    let pause = test.queue.forecast(&job).await.unwrap().pause.unwrap();
    assert_eq!(pause.reason, Reason::Admin);
    test.queue.resume(&id("default"), Reason::Admin).await.unwrap();
    test.queue.resume(&id("default"), Reason::Suspended).await.unwrap();
    let claim = test.queue.claim(&claimer(), 10).await.unwrap();
    assert_eq!(by_app(&claim.jobs)["default"], 10, "`c` has spent ten requests more");
}

#[tokio::test]
async fn concurrency_of_each_app_is_counted_and_survives_a_flush() {
    let limits = BudgetSettings { concurrency: 2, ..wide() };
    let test = pool_with(&limits).await;
    enqueue(&test, 9).await;
    let leases = test.queue.claim(&claimer(), 9).await.unwrap().jobs;
    assert_eq!(by_app(&leases), BTreeMap::from([("b", 2), ("c", 2), ("default", 2)]));
    test.flush().await;
    test.queue.write_budgets(&pool(&limits), true).await.unwrap();
    let all: Vec<_> = leases.iter().collect();
    assert!(test.queue.extend(&all, MINUTE).await.unwrap().is_empty());
    for app in ["default", "b", "c"] {
        assert_eq!(view(&test, app).await.running, 2, "{app}");
    }
    enqueue(&test, 1).await;
    assert!(test.queue.claim(&claimer(), 1).await.unwrap().jobs.is_empty(), "all places are taken");
    test.make_due("leased", domain::Lane::Provision).await;
    assert_eq!(test.queue.claim(&claimer(), 9).await.unwrap().jobs.len(), 6, "places of dead workers");
}

/// Moves the last announcement of these Apps to 16 minutes ago.
async fn stop_announcing(test: &TestQueue, apps: &[&str]) {
    let script =
        "local t = redis.call('TIME') return redis.call('HSET', KEYS[1], 'at', t[1] * 1000 - 16 * 60000)";
    for app in apps {
        let key = test.key(&format!("budget:{app}"));
        test.ask::<i64>(&["EVAL", script, "1", &key]).await;
    }
}

async fn apps_of_the_pool(test: &TestQueue) -> Option<String> {
    test.ask(&["HGET", &test.key("budget:default"), "apps"]).await
}

#[tokio::test]
async fn process_that_knows_one_app_takes_no_other_from_the_pool() {
    let test = pool_with(&wide()).await;
    // As it starts, and as it writes again what Redis has lost.
    test.queue.set_budget(&id("default"), &wide()).await.unwrap();
    test.queue.restore_budget(&id("default"), &wide()).await.unwrap();
    assert_eq!(apps_of_the_pool(&test).await.as_deref(), Some("b c"));
    test.queue.pause(&id("default"), MINUTE, Reason::Suspended).await.unwrap();
    assert_eq!(test.queue.usable_apps(&id("default")).await.unwrap(), [id("b"), id("c")]);
    enqueue(&test, 4).await;
    let claimed = test.queue.claim(&claimer(), 4).await.unwrap().jobs;
    assert_eq!(by_app(&claimed), BTreeMap::from([("b", 2), ("c", 2)]));

    // Redis loses everything, and the process that knows one App is the first to write.
    test.flush().await;
    test.queue.restore_budget(&id("default"), &wide()).await.unwrap();
    assert_eq!(apps_of_the_pool(&test).await, None);
    test.queue.write_budgets(&pool(&wide()), true).await.unwrap();
    assert_eq!(apps_of_the_pool(&test).await.as_deref(), Some("b c"));
}

#[tokio::test]
async fn pool_paused_by_an_administrator_has_no_usable_app() {
    let test = pool_with(&wide()).await;
    test.queue.pause(&id("c"), MINUTE, Reason::Admin).await.unwrap();
    assert_eq!(test.queue.usable_apps(&id("default")).await.unwrap(), [id("default"), id("b")]);
    test.queue.pause(&id("default"), MINUTE, Reason::Admin).await.unwrap();
    assert!(test.queue.usable_apps(&id("default")).await.unwrap().is_empty());
    assert_eq!(test.queue.usable_apps(&id("other")).await.unwrap(), [id("other")]);
}

#[tokio::test]
async fn pool_shrinks_when_an_app_is_removed_from_the_settings() {
    let test = pool_with(&wide()).await;
    enqueue(&test, 6).await;
    let before = test.queue.claim(&claimer(), 3).await.unwrap().jobs;
    assert_eq!(before.len(), 3);
    stop_announcing(&test, &["b", "c"]).await;
    test.queue.set_budget(&id("default"), &wide()).await.unwrap();
    let after = test.queue.claim(&claimer(), 3).await.unwrap().jobs;
    assert_eq!(by_app(&after), BTreeMap::from([("default", 3)]));
    for lease in before.iter().chain(&after) {
        assert!(test.queue.finish(lease).await.unwrap());
    }
    assert_eq!(view(&test, "default").await.running, 0);
}

#[tokio::test]
async fn jobs_of_many_installations_take_turns() {
    let test = TestQueue::new().await;
    let teams: Vec<_> = (0..30).map(|_| TeamId::new()).collect();
    let of = |n: usize| queue::Ticket { installation: id(&format!("i-{}", n % 30)), ..ticket(teams[n % 30]) };
    test.queue.enqueue(&(0..90).map(of).collect::<Vec<_>>()).await.unwrap();
    for n in 0..30 {
        test.queue.set_budget(&id(&format!("i-{n}")), &wide()).await.unwrap();
    }
    let claimer = claimer();
    for _ in 0..3 {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..10 {
            let claim = test.queue.claim(&claimer, 3).await.unwrap();
            seen.extend(claim.jobs.into_iter().map(|lease| lease.installation));
        }
        assert_eq!(seen.len(), 30, "each installation once in a turn");
    }
}
