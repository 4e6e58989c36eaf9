//! Looking for what lost answers may have left, doing no harm.

use github_twin::{FaultKind, RunnerChange, RunnerSpec};
use harness::{World, eventually, team_draft};
use serde_json::json;
use store::UserDraft;

use super::Scene;

#[tokio::test]
async fn a_stray_in_use_is_left_alone_until_it_is_idle() {
    let scene = Scene::new().await;
    scene.fault(FaultKind::EffectThenDrop, 1);
    let asked = scene.asked().await;
    scene.worker();
    scene.succeeded(asked.job).await;
    let stray = scene.world.twin.runner(&asked.name).unwrap();
    for used in [RunnerChange::online(), RunnerChange::busy()] {
        scene.world.twin.set_runner(stray.id, used).unwrap();
        scene.reap().await;
        assert_eq!(scene.on_github().len(), 2);
    }
    scene.world.twin.set_runner(stray.id, RunnerChange::offline()).unwrap();
    scene.reap().await;
    assert_eq!(scene.on_github(), [scene.config(&asked).await]);
}

#[tokio::test]
async fn an_orphan_that_is_not_found_is_looked_up_four_times() {
    let scene = Scene::new().await;
    scene.fault(FaultKind::Drop, 1);
    let asked = scene.asked().await;
    scene.worker();
    scene.succeeded(asked.job).await;
    for _ in 0..3 {
        assert_eq!(scene.reap().await, 1);
        assert_eq!(scene.states(asked.job).await, ["effect_suspected", "delivered"]);
    }
    assert_eq!(scene.reap().await, 1);
    assert_eq!(scene.states(asked.job).await, ["settled", "delivered"]);
    assert_eq!(scene.reap().await, 0);
    let looked = scene.world.twin.ledger();
    assert_eq!(looked.of("DELETE", "runners").count(), 0);
}

#[tokio::test]
async fn nothing_is_looked_for_before_its_time() {
    let scene = Scene::new().await;
    scene.fault(FaultKind::EffectThenDrop, 1);
    let asked = scene.asked().await;
    scene.worker();
    scene.succeeded(asked.job).await;
    assert_eq!(scheduler::reap::run(scene.world.scheduling()).await.unwrap(), 0);
    let wait =
        "SELECT (next_reap_at - finished_at)::text FROM github_calls WHERE job_id = $1 AND generation = 1";
    assert_eq!(scene.world.text(wait, asked.job).await, "00:00:30");
}

#[tokio::test]
async fn schedulers_at_once_send_one_look_up() {
    let scene = Scene::new().await;
    scene.fault(FaultKind::EffectThenDrop, 1);
    let asked = scene.asked().await;
    let worker = scene.world.start_worker();
    scene.succeeded(asked.job).await;
    worker.stop().await;
    let due = "UPDATE github_calls SET next_reap_at = now() WHERE job_id = $1 AND generation = 1";
    scene.world.change(due, asked.job).await;
    let step = || scheduler::reap::run(scene.world.scheduling());
    let (a, b, c) = tokio::join!(step(), step(), step());
    assert_eq!(a.unwrap() + b.unwrap() + c.unwrap(), 1);
}

/// A name somebody chose, which a lost answer may have given to a runner and which is free again.
async fn freed(scene: &Scene, name: &str) {
    scene.fault(FaultKind::EffectThenDrop, 1);
    let first = scene.world.provision(&scene.ada, json!({ "runner_name": name })).await;
    scene.snoozed(first.job, 1).await;
    let made = scene.world.twin.runner(name).unwrap().id;
    scene.world.twin.set_runner(made, RunnerChange::online()).unwrap();
    scene.hurry().await;
    let failed = scene.world.until_final(&scene.ada, first.job).await;
    assert_eq!(failed["error"]["code"], "runner_name_conflict");
    assert_eq!(scene.states(first.job).await, ["effect_suspected"]);
    scene.world.twin.remove_runner(made).unwrap();
}

#[tokio::test]
async fn a_runner_being_delivered_under_a_freed_name_is_no_stray() {
    let scene = Scene::new().await;
    scene.worker();
    freed(&scene, "builder-1").await;
    let blue = scene.world.team(team_draft("blue")).await;
    let bob = scene.world.user("bob", &[&blue]).await;
    scene.fault(FaultKind::SlowDrip { ms: 600, bytes: 500 }, 1);
    let second = scene.world.provision(&bob, json!({ "runner_name": "builder-1" })).await;
    let id = eventually("GitHub has made it", || async { scene.world.twin.runner("builder-1") }).await.id;
    assert_eq!(scene.reap().await, 1);
    assert_eq!(scene.states(second.job).await, ["intent"], "its config is still on the way");
    assert_eq!(scene.world.until_final(&bob, second.job).await["state"], "succeeded");
    assert_eq!(scene.world.twin.runner("builder-1").map(|there| there.id), Some(id));
    assert_eq!(scene.world.twin.ledger().of("DELETE", "runners").count(), 0);
}

#[tokio::test]
async fn a_runner_that_has_just_registered_itself_is_no_stray() {
    let scene = Scene::with(World::builder().registration_tokens(), team_draft("red")).await;
    scene.worker();
    freed(&scene, "builder-1").await;
    let blue = scene.world.team(team_draft("blue")).await;
    let may = UserDraft { can_use_registration_token: true, ..scene.world.user_draft("bob") };
    let bob = scene.world.person(may, &[&blue]).await;
    scene
        .world
        .post("/runners/provision", &bob, &json!({ "runner_name": "builder-1" }))
        .await
        .assert_status(201);
    let spec = serde_json::from_value::<RunnerSpec>(json!({ "name": "builder-1", "labels": ["team-blue"] }));
    let id = scene.world.twin.create_runner(spec.unwrap()).unwrap().id;
    assert_eq!(scene.reap().await, 1);
    assert_eq!(scene.world.twin.runner("builder-1").map(|there| there.id), Some(id));
    let again = "SELECT count(*) FROM github_calls WHERE next_reap_at > now() AND reap_attempts = 0";
    assert_eq!(scene.world.count(again).await, 1, "a look that could conclude nothing is not the last one");
}
