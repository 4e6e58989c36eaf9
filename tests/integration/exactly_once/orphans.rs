//! Search for runners left by lost responses, without harm to other runners.

use github_twin::{FaultKind, RunnerChange, RunnerSpec};
use harness::{World, eventually, team_draft};
use serde_json::json;
use store::UserDraft;

use super::Scene;

#[tokio::test]
async fn orphan_in_use_is_left_alone_until_it_is_idle() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::EffectThenDrop, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    scene.wait_for_success(asked.job).await;
    let stray = scene.world.twin.runner(&asked.name).unwrap();
    for used in [RunnerChange::online(), RunnerChange::busy()] {
        scene.world.twin.set_runner(stray.id, used).unwrap();
        scene.reap_orphans().await;
        assert_eq!(scene.github_runner_names().len(), 2);
    }
    scene.world.twin.set_runner(stray.id, RunnerChange::offline()).unwrap();
    scene.reap_orphans().await;
    assert_eq!(scene.github_runner_names(), [scene.delivered_config(&asked).await]);
}

#[tokio::test]
async fn orphan_that_is_not_found_is_looked_up_four_times() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::Drop, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    scene.wait_for_success(asked.job).await;
    for _ in 0..3 {
        assert_eq!(scene.reap_orphans().await, 1);
        assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"]);
    }
    assert_eq!(scene.reap_orphans().await, 1);
    assert_eq!(scene.call_states(asked.job).await, ["settled", "delivered"]);
    assert_eq!(scene.reap_orphans().await, 0);
    let looked = scene.world.twin.ledger();
    assert_eq!(looked.of("DELETE", "runners").count(), 0);
}

#[tokio::test]
async fn orphans_are_not_looked_up_before_their_time() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::EffectThenDrop, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    scene.wait_for_success(asked.job).await;
    assert_eq!(scheduler::reap::run(scene.world.scheduler_parts()).await.unwrap(), 0);
    let wait =
        "SELECT (next_reap_at - finished_at)::text FROM github_calls WHERE job_id = $1 AND generation = 1";
    assert_eq!(scene.world.text(wait, asked.job).await, "00:00:30");
}

#[tokio::test]
async fn concurrent_schedulers_send_one_look_up() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::EffectThenDrop, 1);
    let asked = scene.request_runner().await;
    let worker = scene.world.start_worker();
    scene.wait_for_success(asked.job).await;
    worker.stop().await;
    let due = "UPDATE github_calls SET next_reap_at = now() WHERE job_id = $1 AND generation = 1";
    scene.world.change(due, asked.job).await;
    let step = || scheduler::reap::run(scene.world.scheduler_parts());
    let (a, b, c) = tokio::join!(step(), step(), step());
    assert_eq!(a.unwrap() + b.unwrap() + c.unwrap(), 1);
}

/// A requested name that a lost response may have given to a runner, and that is free again.
async fn free_name(scene: &Scene, name: &str) {
    scene.fault_jit_calls(FaultKind::EffectThenDrop, 1);
    let first = scene.world.provision(&scene.ada, json!({ "runner_name": name })).await;
    scene.wait_for_snoozes(first.job, 1).await;
    let made = scene.world.twin.runner(name).unwrap().id;
    scene.world.twin.set_runner(made, RunnerChange::online()).unwrap();
    scene.make_jobs_due().await;
    let failed = scene.world.until_final(&scene.ada, first.job).await;
    assert_eq!(failed["error"]["code"], "runner_name_conflict");
    assert_eq!(scene.call_states(first.job).await, ["effect_suspected"]);
    scene.world.twin.remove_runner(made).unwrap();
}

#[tokio::test]
async fn runner_being_delivered_under_a_freed_name_is_no_orphan() {
    let scene = Scene::new().await;
    scene.add_worker();
    free_name(&scene, "builder-1").await;
    let blue = scene.world.team(team_draft("blue")).await;
    let bob = scene.world.user("bob", &[&blue]).await;
    scene.fault_jit_calls(FaultKind::SlowDrip { ms: 600, bytes: 500 }, 1);
    let second = scene.world.provision(&bob, json!({ "runner_name": "builder-1" })).await;
    let id = eventually("GitHub has created the runner", || async { scene.world.twin.runner("builder-1") })
        .await
        .id;
    assert_eq!(scene.reap_orphans().await, 1);
    assert_eq!(scene.call_states(second.job).await, ["intent"], "its config is still on the way");
    assert_eq!(scene.world.until_final(&bob, second.job).await["state"], "succeeded");
    assert_eq!(scene.world.twin.runner("builder-1").map(|there| there.id), Some(id));
    assert_eq!(scene.world.twin.ledger().of("DELETE", "runners").count(), 0);
}

#[tokio::test]
async fn runner_that_has_just_registered_itself_is_no_orphan() {
    let scene = Scene::with(World::builder().registration_tokens(), team_draft("red")).await;
    scene.add_worker();
    free_name(&scene, "builder-1").await;
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
    assert_eq!(scene.reap_orphans().await, 1);
    assert_eq!(scene.world.twin.runner("builder-1").map(|there| there.id), Some(id));
    let again = "SELECT count(*) FROM github_calls WHERE next_reap_at > now() AND reap_attempts = 0";
    assert_eq!(scene.world.count(again).await, 1, "an inconclusive lookup is not the last one");
}
