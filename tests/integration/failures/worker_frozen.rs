//! A worker stands still for longer than its lease.

use std::time::Duration;

use github_twin::FaultKind;
use harness::{World, team_draft, wait_until};

use crate::exactly_once::Scene;

#[tokio::test]
async fn a_process_stopped_beyond_its_lease_writes_nothing_afterwards() {
    let lease = Duration::from_secs(3);
    let scene = Scene::with(World::builder().lease(lease), team_draft("red")).await;
    scene.fault(FaultKind::Latency { ms: 500 }, 1);
    let asked = scene.asked().await;
    let mut zombie = scene.world.program("worker", &[]);
    scene.world.fault_consumed().await;
    zombie.freeze();
    let heir = scene.world.program("worker", &[]);
    scene.succeeded(asked.job).await;
    let name = scene.config(&asked).await;
    wait_until("both calls have taken effect", || async { scene.on_github().len() == 2 }).await;

    let fence = "SELECT fence::text FROM jobs WHERE id = $1";
    let before = scene.world.text(fence, asked.job).await;
    zombie.thaw();
    // The next job is the zombie's: by then it has gone through all that it had left to do.
    heir.stop().await;
    let next = scene.asked().await;
    scene.succeeded(next.job).await;
    assert!(zombie.runs());
    zombie.stop().await;
    assert_eq!(scene.config(&asked).await, name, "what was delivered stays");
    assert_eq!(scene.world.text(fence, asked.job).await, before);
    assert_eq!(scene.states(asked.job).await, ["effect_suspected", "delivered"]);
    scene.worker();
    scene.reap().await;
    assert_eq!(scene.on_github(), [name, scene.config(&next).await], "what it made in vain is gone");
}
