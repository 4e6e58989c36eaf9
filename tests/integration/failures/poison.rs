//! A job that kills every worker that takes it.

use std::time::Duration;

use github_twin::FaultKind;
use harness::{World, team_draft};

use crate::exactly_once::Scene;

#[tokio::test]
async fn poison_job_ends_after_three_workers_and_others_run() {
    let lease = Duration::from_secs(3);
    let scene = Scene::with(World::builder().lease(lease), team_draft("red")).await;
    let world = &scene.world;
    let bad = scene.request_runner().await;
    for _ in 0..3 {
        // Every worker that runs the job hangs in its call and is killed.
        scene.fault_jit_calls(FaultKind::Latency { ms: 60_000 }, 1);
        let victim = world.program("worker", &[]);
        world.fault_consumed().await;
        let good = scene.request_runner().await;
        scene.wait_for_success(good.job).await;
        scene.delivered_config(&good).await;
        victim.kill();
    }
    let heir = world.program("worker", &[]);
    let job = world.until_final(&scene.ada, bad.job).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&"failed".into(), &"job_poisoned".into()), "{job}");
    assert_eq!(world.text("SELECT rescues::text FROM jobs WHERE id = $1", bad.job).await, "3");
    scheduler::reap::run(world.scheduler_parts()).await.unwrap();
    assert_eq!(
        scene.call_states(bad.job).await,
        ["effect_suspected"; 3],
        "every runner it may have made is looked up"
    );
    let good = scene.request_runner().await;
    scene.wait_for_success(good.job).await;
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status <> 'deleted'").await, 4);
    assert_eq!(world.count("SELECT count(*) FROM runners WHERE status = 'deleted'").await, 1);
    assert_eq!(scene.github_runner_names().len(), 4, "one for each good job");
    heir.stop().await;
}
