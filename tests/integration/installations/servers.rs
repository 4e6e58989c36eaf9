//! Enterprises, Enterprise Servers, and the hourly window known before the first job.

use std::sync::Arc;

use domain::InstallationId;
use github::{GitHub, NoopObserver};
use github_twin::{Bucket, Limits, PersonalToken, RunnerChange, TwinConfig};
use harness::{ExtraInstallation, World, provision_body, team_draft, wait_until};
use queue::BudgetSettings;
use scheduler::sync::{self, PageCache};
use serde_json::json;

use super::{JIT, SECOND, Scene, second};

#[tokio::test]
async fn enterprise_is_served_with_a_personal_token() {
    const TOKEN: &str = "ghp_enterprise";
    let twin = TwinConfig {
        enterprises: vec!["initech".to_owned()],
        personal_tokens: vec![PersonalToken::new(TOKEN, "manage_runners:enterprise")],
        ..TwinConfig::default()
    };
    let more = ExtraInstallation::enterprise(SECOND, "initech", TOKEN);
    let scene = Scene::start(World::builder().twin(twin).installation(more)).await;
    let world = &scene.world;
    let (asked, place) = scene.runner(&scene.bob).await;
    assert_eq!(place, "enterprises/initech");
    let runner = world.twin.runners().remove(0);
    world.twin.set_runner(runner.id, RunnerChange::online()).unwrap();
    let passed = sync::run(&world.scheduler_parts(), &second(), &mut PageCache::default()).await.unwrap();
    assert_eq!((passed.result, passed.changed), ("ok", 1));
    let path = format!("/runners/{}", asked.runner);
    let removed =
        world.ask("DELETE", &path).by(&scene.bob).header("prefer", "wait=20").send().await.assert_status(200);
    assert_eq!(removed.body["success"], true);
    assert!(world.twin.runners().is_empty());
    let ledger = world.twin.ledger();
    assert!(ledger.violations.is_empty(), "{:?}", ledger.violations);
    assert_eq!(ledger.of("POST", "access_tokens").count(), 0, "no request as an App");
    let windows = scene.budget(SECOND).await["windows"].clone();
    assert_eq!(windows[0]["limit"], 5000, "the person's own window is learned");
}

#[tokio::test]
async fn enterprise_server_without_limits_is_served_under_its_path() {
    let twin = TwinConfig { base_path: "/api/v3".to_owned(), limits: Limits::off(), ..TwinConfig::default() };
    let budget = BudgetSettings { enabled: false, ..BudgetSettings::default() };
    let world = World::builder().twin(twin).budget(budget).fetch_rate_limits_first().start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, root) = (world.user("ada", &[&red]).await, world.admin().await);
    assert!(world.github().api_url.path().starts_with("/api/v3"));
    for _ in 0..3 {
        let asked = world.provision(&ada, provision_body("ci")).await;
        assert_eq!(world.until_final(&ada, asked.job).await["state"], "succeeded");
    }
    let home = InstallationId::default();
    let passed = sync::run(&world.scheduler_parts(), &home, &mut PageCache::default()).await.unwrap();
    assert_eq!((passed.result, passed.listed), ("ok", 3));
    let budget = world.get("/admin/budget", &root).await.assert_status(200).body;
    assert!(budget["budgets"].as_array().unwrap().iter().all(|one| one["windows"] == json!([])), "{budget}");
    assert_eq!(world.twin.ledger().of("GET", "/rate_limit").count(), 0, "no limits are fetched");
}

#[tokio::test]
async fn rate_limit_is_fetched_before_the_first_job() {
    let limits = Limits { primary: Some(Bucket::new(3, 3600)), ..Limits::github() };
    let world = World::builder().workers(0).limits(limits).fetch_rate_limits_first().start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    // Another program uses up the window.
    let other = GitHub::new(world.github(), Arc::new(NoopObserver)).unwrap();
    for _ in 0..3 {
        other.list_runners(1, 1, None).await.unwrap();
    }
    let asked = world.provision(&ada, provision_body("ci")).await;
    let workers = [world.start_worker(), world.start_worker(), world.start_worker()];
    let asks = || world.twin.ledger().of("GET", "/rate_limit").count();
    wait_until("one process fetches the limits", || async { asks() == 1 }).await;
    wait_until("all are at work", || async {
        let known: i64 = world.count("SELECT count(*) FROM workers").await;
        usize::try_from(known).unwrap() == workers.len()
    })
    .await;
    let job = world.job(&ada, asked.job).await;
    assert_eq!(job["state"], "queued", "{job}");
    let ledger = world.twin.ledger();
    assert_eq!((asks(), ledger.of("POST", JIT).count()), (1, 0));
    assert!(ledger.violations.is_empty(), "{:?}", ledger.violations);
    for worker in workers {
        worker.stop().await;
    }

    let parts = world.scheduler_parts();
    assert_eq!(parts.installations.fetch_rate_limits(&parts.queue).await, 0, "it is known");
    world.redis().flush().await;
    assert_eq!(
        parts.installations.fetch_rate_limits(&parts.queue).await,
        1,
        "a flushed queue has no such setting"
    );
    assert_eq!(asks(), 2);
}
