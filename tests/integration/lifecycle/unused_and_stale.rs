//! Removal of unused and stale runners.

use chrono::TimeDelta;
use github_twin::RunnerChange;
use harness::{World, provision_body, team_draft};
use scheduler::{stale, unused};

use super::Scene;

#[tokio::test]
async fn unused_config_is_revoked_and_frees_its_quota() {
    let mut team = team_draft("red");
    team.max_runners = Some(2);
    let scene = Scene::with(World::builder(), team).await;
    let (left, used) = (scene.runner().await, scene.runner().await);
    scene.world.jit(&scene.ada, &provision_body("ci")).await.refused(403, "quota_exceeded");
    // Online, but not yet seen by a pass.
    scene.change_on_github(&used, RunnerChange::online());
    let mut parts = scene.world.scheduler_parts();
    parts.sync.config_life = TimeDelta::hours(2);
    assert_eq!(unused::run(parts.clone()).await.unwrap(), 0);
    parts.sync.config_life = TimeDelta::minutes(59);
    assert_eq!(unused::run(parts.clone()).await.unwrap(), 2);
    scene.wait_for_no_open_job().await;

    assert_eq!((scene.status(&left).await.as_str(), scene.github_runner(&left)), ("deleted", None));
    assert_eq!(scene.status(&used).await, "active");
    assert!(scene.github_runner(&used).is_some(), "the runner is in use");
    assert_eq!(scene.status_history(&left).await.last().unwrap(), "pending deleted job");
    scene.world.jit(&scene.ada, &provision_body("ci")).await.assert_status(202);
    scene.world.credential(&scene.ada, left.job).await.refused(410, "credential_gone");
    assert_eq!(unused::run(parts).await.unwrap(), 0);
}

#[tokio::test]
async fn runner_offline_for_too_long_is_removed() {
    let scene = Scene::new().await;
    let (gone, back, recent) = (scene.runner().await, scene.runner().await, scene.runner().await);
    for change in [RunnerChange::online(), RunnerChange::offline()] {
        for runner in [&gone, &back, &recent] {
            scene.change_on_github(runner, change.clone());
        }
        scene.run_sync().await;
    }
    for runner in [&gone, &back] {
        let long = "UPDATE runners SET offline_since = offline_since - interval '25 hours' WHERE id = $1";
        scene.world.change(long, runner.id).await;
    }
    scene.change_on_github(&back, RunnerChange::online());
    let (parts, day) = (scene.world.scheduler_parts(), TimeDelta::hours(24));
    let mut conn = parts.store.conn().await.unwrap();
    let stale = conn.runners().stale(day, 10).await.unwrap();
    drop(conn);
    let listed: Vec<_> = stale.into_iter().map(|runner| runner.id.uuid()).collect();
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&gone.id) && listed.contains(&back.id));
    assert_eq!(scene.status(&gone).await, "offline", "listing changes nothing");
    assert_eq!(stale::clean_up(&parts, day).await.unwrap(), 2);
    scene.wait_for_no_open_job().await;
    assert_eq!((scene.status(&gone).await.as_str(), scene.github_runner(&gone)), ("deleted", None));
    assert_eq!(
        (scene.status(&back).await.as_str(), scene.status(&recent).await.as_str()),
        ("active", "offline")
    );
}
