//! Looking for what lost answers may have left, doing no harm.

use twin::{FaultKind, RunnerChange};

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
async fn what_is_not_found_is_looked_for_four_times() {
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
