//! One budget per installation: no limit is exceeded with any number of workers, all share one token, and jobs that
//! cannot start in time are refused.

use std::time::Duration;

use domain::{InstallationId, JobId, Lane};
use futures::future::join_all;
use github_twin::{Bucket, Fault, FaultKind, Limits};
use harness::{World, provision_body, team_draft};
use queue::{BudgetSettings, Claimer, Reason, Ticket};
use serde_json::json;

/// GitHub's limits on a fast clock: 20 writes in two seconds.
fn fast_budget() -> BudgetSettings {
    BudgetSettings {
        points_per_minute: 100,
        minute: Duration::from_secs(2),
        registrations: 40,
        registrations_period: Duration::from_secs(4),
        ..BudgetSettings::default()
    }
}

#[tokio::test]
async fn many_workers_exceed_no_limit_together() {
    let limits = Limits {
        points: Some(Bucket::new(100, 2)),
        registrations: Some(Bucket::new(40, 4)),
        grace_ms: 0,
        ..Limits::github()
    };
    let world = World::builder().workers(3).concurrency(8).limits(limits).budget(fast_budget()).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let mut asked = Vec::new();
    for _ in 0..50 {
        asked.push(world.provision(&ada, provision_body("ci")).await);
    }
    for one in &asked {
        assert_eq!(world.until_final(&ada, one.job).await["state"], "succeeded");
    }
    let ledger = world.twin.ledger();
    assert!(ledger.violations.is_empty(), "{:?}", ledger.violations);
    assert_eq!(ledger.of("POST", "generate-jitconfig").count(), 50, "one call for each runner");
    assert_eq!(ledger.of("POST", "access_tokens").count(), 1, "one token for three workers");
    assert_eq!(
        world.count("SELECT count(*) FROM jobs WHERE attempts <> 1").await,
        0,
        "waiting counts no attempt"
    );
}

#[tokio::test]
async fn one_token_is_minted_for_all_workers_after_a_refusal() {
    let world = World::builder().workers(3).concurrency(1).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    for _ in 0..2 {
        let asked = join_all((0..6).map(|_| world.provision(&ada, provision_body("ci")))).await;
        for one in &asked {
            assert_eq!(world.until_final(&ada, one.job).await["state"], "succeeded");
        }
        world.twin.control().expire_tokens();
        world.twin.advance(Duration::from_secs(31));
        world.twin.fault(Fault::new(FaultKind::Latency { ms: 500 }).on("POST", "access_tokens"));
    }
    assert_eq!(world.twin.ledger().of("POST", "access_tokens").count(), 2);
}

#[tokio::test]
async fn jobs_that_cannot_start_in_time_are_refused() {
    // Six writes a minute: about fifty provisions before their deadline of fifteen minutes.
    let slow = BudgetSettings { points_per_minute: 30, ..BudgetSettings::default() };
    let world = World::builder().workers(0).budget(slow.clone()).start().await;
    let queue = world.queue();
    queue.set_budget(&InstallationId::default(), &slow).await.unwrap();
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);

    let mut accepted = 0;
    let refused = loop {
        let answer = world.jit(&ada, &provision_body("ci")).await;
        match answer.status {
            202 if accepted < 200 => accepted += 1,
            _ => break answer,
        }
    };
    let refused = refused.refused(429, "team_backlog");
    assert!(accepted > 10, "{accepted}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, accepted, "a refusal writes no rows");
    world.jit(&bob, &provision_body("ci")).await.assert_status(202);

    queue.pause(&InstallationId::default(), Duration::from_hours(1), Reason::Admin).await.unwrap();
    world.jit(&bob, &provision_body("ci")).await.refused(503, "service_backlog");
    queue.resume(&InstallationId::default(), Reason::Admin).await.unwrap();
    world.jit(&bob, &provision_body("ci")).await.assert_status(202);
}

#[tokio::test]
async fn waiting_job_says_when_it_will_start() {
    let slow = BudgetSettings { points_per_minute: 30, ..BudgetSettings::default() };
    let world = World::builder().workers(0).start().await;
    world.queue().set_budget(&InstallationId::default(), &slow).await.unwrap();
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let mut last = None;
    for _ in 0..12 {
        last = Some(world.provision(&ada, provision_body("ci")).await);
    }
    let answer = world.get(&format!("/jobs/{}", last.unwrap().job), &ada).await.assert_status(200);
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 30, "{}", answer.text);
    assert!(
        answer.body["estimated_start_at"].as_str() > answer.body["created_at"].as_str(),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn admins_see_budget_queue_and_workers() {
    let world = World::builder().workers(1).start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, root) = (world.user("ada", &[&red]).await, world.admin().await);
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;
    harness::wait_until("the window is learned", || async {
        let budget = world.get("/admin/budget", &root).await.assert_status(200);
        budget.body["budgets"][0]["windows"][0]["limit"] == 5000
    })
    .await;
    harness::wait_until("the worker has registered", || async {
        world.get("/admin/workers", &root).await.assert_status(200).body["workers"][0]["alive"] == true
    })
    .await;
    let paused =
        world.post("/admin/queues/drift/pause", &root, &json!({ "seconds": 60 })).await.assert_status(200);
    assert_eq!(paused.body["pauses"][0]["lane"], "drift");
    world
        .post("/admin/queues/drift/pause", &root, &json!({ "seconds": 0 }))
        .await
        .refused(422, "validation_failed");
    world
        .post("/admin/queues/nowhere/pause", &root, &json!({ "seconds": 1 }))
        .await
        .refused(404, "not_found");
    let resumed = world.ask("POST", "/admin/queues/drift/resume").by(&root).send().await.assert_status(200);
    assert_eq!(resumed.body["pauses"], json!([]));
    for path in ["/admin/budget", "/admin/workers", "/admin/queues"] {
        world.get(path, &ada).await.refused(403, "admin_required");
    }
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE event_type LIKE 'lane.%'").await, 2);
}

#[tokio::test]
async fn installation_without_jobs_is_shown_as_empty() {
    let world = World::builder().workers(0).start().await;
    let installation: InstallationId = "soon-empty".parse().unwrap();
    let job = Ticket {
        job: JobId::new(),
        installation,
        lane: Lane::Drift,
        team: None,
        weight: 1.0,
        cost: 1,
        age: Duration::from_mins(2),
        time_left: Duration::from_mins(8),
        delay: Duration::ZERO,
        urgent: false,
    };
    // Once the API responds, the metrics have been collected.
    world.request("GET", "/metrics").send().await.assert_status(200);
    let (queue, shown) = (world.queue(), scheduler::gauges::ShownGauges::default());
    let told = async |metric: &str| {
        scheduler::queue_metrics::run(world.scheduler_parts(), shown.clone()).await.unwrap();
        let text = world.request("GET", "/metrics").send().await.assert_status(200).text;
        let mut lines =
            text.lines().filter(|line| line.starts_with(metric) && line.contains("\"soon-empty\""));
        let line = lines
            .find(|line| line.contains("drift") && !line.contains("delayed") && !line.contains("running"));
        line.unwrap().rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    assert!(told("rts_queue_jobs{").await > 0.5 && told("rts_queue_oldest_age_seconds{").await > 60.0);
    queue.cancel(job.job).await.unwrap();
    let idle = queue.claim(&Claimer::new("story", Duration::from_secs(1)), 1).await.unwrap();
    assert!(
        idle.jobs.is_empty() && queue.stats().await.unwrap().lanes.is_empty(),
        "the queue has removed the job"
    );
    assert!(told("rts_queue_jobs{").await < 0.5 && told("rts_queue_oldest_age_seconds{").await < 0.5);
}

#[tokio::test]
async fn caller_gets_its_remaining_rate() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let answer = world.get("/auth/me", &ada).await.assert_status(200);
    assert!(
        answer.header("ratelimit-policy").starts_with("\"caller\";q="),
        "{}",
        answer.header("ratelimit-policy")
    );
    assert!(answer.header("ratelimit").contains(";r="), "{}", answer.header("ratelimit"));
}

#[tokio::test]
async fn flooding_team_leaves_the_window_to_others() {
    let limits = Limits { primary: Some(Bucket::new(200, 3600)), ..Limits::github() };
    let quick =
        BudgetSettings { points_per_minute: 100_000, registrations: 100_000, ..BudgetSettings::default() };
    let limits = Limits { points: None, registrations: None, ..limits };
    let world = World::builder()
        .workers(2)
        .concurrency(8)
        .limits(limits)
        .budget(quick)
        .fetch_rate_limits_first()
        .start()
        .await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
    harness::wait_until("the window is learned", || async {
        world.queue().budget().await.unwrap().first().is_some_and(|budget| !budget.resources.is_empty())
    })
    .await;
    let mut refused = 0;
    for _ in 0..150 {
        refused += usize::from(world.jit(&ada, &provision_body("ci")).await.status != 202);
    }
    harness::wait_until("red has used its share", || async {
        let budget = world.queue().budget().await.unwrap().remove(0);
        let core = budget.resources.iter().find(|window| window.resource == "core");
        let spent = core.and_then(|window| window.teams.first().map(|team| team.1));
        spent.is_some_and(|spent| spent >= 75)
    })
    .await;
    assert!(refused < 150);
    for _ in 0..15 {
        let asked = world.provision(&bob, provision_body("ci")).await;
        assert_eq!(world.until_final(&bob, asked.job).await["state"], "succeeded");
    }
    let root = world.admin().await;
    let budget = world.get("/admin/budget", &root).await.assert_status(200).body;
    let windows = budget["budgets"][0]["windows"].as_array().unwrap();
    let window = windows.iter().find(|window| window["resource"] == "core").unwrap();
    let of_blue = window["teams"].as_array().unwrap().iter().find(|team| team["team_id"] == json!(blue.id));
    assert_eq!(of_blue.unwrap()["spent"], 15, "{budget}");
    assert_eq!(window["lanes"].as_array().unwrap().len(), 3, "{budget}");
    assert!(world.twin.ledger().violations.is_empty());
}

#[tokio::test]
async fn server_without_limits_is_recognised_and_asked_at_full_speed() {
    let world = World::builder()
        .workers(2)
        .concurrency(8)
        .limits(Limits::off())
        .fetch_rate_limits_first()
        .start()
        .await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    harness::wait_until("it is recognised", || async {
        !world.queue().set_unlimited(&InstallationId::default()).await.unwrap()
    })
    .await;
    let asked = join_all((0..40).map(|_| world.provision(&ada, provision_body("ci")))).await;
    for one in &asked {
        assert_eq!(world.until_final(&ada, one.job).await["state"], "succeeded");
    }
    let waited = "SELECT count(*) FROM jobs WHERE snoozes > 0";
    assert_eq!(world.count(waited).await, 0, "no budget delayed a job");
}

#[tokio::test]
async fn refused_token_does_not_change_the_known_window() {
    let world = World::builder().workers(0).start().await;
    let github = world.scheduler_parts().installations.get(&InstallationId::default()).unwrap().clone();
    github.list_runners(1, 1, None).await.unwrap();
    world.twin.control().expire_tokens();
    for _ in 0..3 {
        // The known window stays, whether the call is refused or not, and with any token.
        let _ = github.list_runners(1, 1, None).await;
    }
    harness::wait_until("the window is the installation's", || async {
        let budget = world.queue().budget().await.unwrap().remove(0);
        let core = budget.resources.into_iter().find(|window| window.resource == "core");
        core.is_some_and(|core| core.limit == 5_000 && core.remaining > 4_900)
    })
    .await;
}

#[tokio::test]
async fn queues_list_every_lane_of_an_idle_installation() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let queues = world.get("/admin/queues", &root).await.assert_status(200).body;
    let lanes: Vec<_> = queues["lanes"].as_array().unwrap().iter().map(|lane| lane["lane"].clone()).collect();
    assert_eq!(lanes, ["provision", "deprovision", "drift"]);
    assert!(queues["lanes"].as_array().unwrap().iter().all(|lane| lane["installation"] == "default"));
}
