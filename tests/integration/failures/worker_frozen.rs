//! A worker frozen for longer than its lease.

use std::time::Duration;

use github_twin::FaultKind;
use harness::{World, team_draft, wait_until};

use crate::exactly_once::Scene;

#[tokio::test]
async fn worker_frozen_beyond_its_lease_writes_nothing() {
    let lease = Duration::from_secs(3);
    let scene = Scene::with(World::builder().lease(lease), team_draft("red")).await;
    scene.fault_jit_calls(FaultKind::Latency { ms: 500 }, 1);
    let asked = scene.request_runner().await;
    let mut zombie = scene.world.program("worker", &[]);
    scene.world.fault_consumed().await;
    zombie.freeze();
    let heir = scene.world.program("worker", &[]);
    scene.wait_for_success(asked.job).await;
    let name = scene.delivered_config(&asked).await;
    wait_until("both calls have taken effect", || async { scene.github_runner_names().len() == 2 }).await;

    let fence = "SELECT fence::text FROM jobs WHERE id = $1";
    let before = scene.world.text(fence, asked.job).await;
    zombie.thaw();
    // The frozen worker gets the next job, so by then it has finished everything from before.
    heir.stop().await;
    let next = scene.request_runner().await;
    scene.wait_for_success(next.job).await;
    assert!(zombie.runs());
    zombie.stop().await;
    assert_eq!(scene.delivered_config(&asked).await, name, "the delivered runner is kept");
    assert_eq!(scene.world.text(fence, asked.job).await, before);
    assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"]);
    scene.add_worker();
    scene.reap_orphans().await;
    assert_eq!(
        scene.github_runner_names(),
        [name, scene.delivered_config(&next).await],
        "its discarded runner is removed"
    );
}
