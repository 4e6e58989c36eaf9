//! Workers that die or freeze during a GitHub call.

use domain::Lane;
use futures::future::join_all;
use github_twin::FaultKind;
use harness::{World, eventually, provision_body, team_draft, wait_until};

use super::Scene;

const LONG: FaultKind = FaultKind::Latency { ms: 700 };

#[tokio::test]
async fn worker_killed_before_the_response_leaves_one_config_and_no_orphan() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(LONG, 1);
    let asked = scene.request_runner().await;
    let first = scene.world.start_worker();
    scene.world.fault_consumed().await;
    first.kill().await;
    assert_eq!(scene.call_states(asked.job).await, ["intent"]);

    scene.world.expire_leases(Lane::Provision).await;
    scene.add_worker();
    let job = scene.wait_for_success(asked.job).await;
    assert_eq!(job["attempts"], 1, "the death of a worker counts no attempt");
    let rescues: i32 =
        sqlx::query_scalar("SELECT rescues FROM jobs").fetch_one(scene.world.sql()).await.unwrap();
    assert_eq!(rescues, 1);
    assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"]);
    let name = scene.delivered_config(&asked).await;

    let stray = scene.calls(asked.job).await.remove(0).runner_name;
    wait_until("the first attempt took effect late", || async { scene.world.twin.runner(&stray).is_some() })
        .await;
    assert_eq!(scene.reap_orphans().await, 1);
    assert_eq!(scene.github_runner_names(), [name]);
    assert_eq!(scene.call_states(asked.job).await, ["settled", "delivered"]);
}

#[tokio::test]
async fn stopping_worker_finishes_its_jobs_first() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(LONG, 1);
    let asked = scene.request_runner().await;
    let worker = scene.world.start_worker();
    scene.world.fault_consumed().await;
    worker.stop().await;
    scene.wait_for_success(asked.job).await;
    assert_eq!(scene.call_states(asked.job).await, ["delivered"]);
}

#[tokio::test]
async fn frozen_worker_discards_a_job_finished_by_another() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::Latency { ms: 300 }, 1);
    let asked = scene.request_runner().await;
    let zombie = scene.world.start_worker();
    scene.world.fault_consumed().await;
    zombie.freeze().await;
    scene.world.expire_leases(Lane::Provision).await;
    scene.add_worker();
    scene.wait_for_success(asked.job).await;
    let name = scene.delivered_config(&asked).await;
    let stray = scene.calls(asked.job).await.remove(0).runner_name;
    wait_until("the frozen worker's attempt took effect", || async {
        scene.world.twin.runner(&stray).is_some()
    })
    .await;

    zombie.thaw();
    zombie.stop().await;
    assert_eq!(scene.delivered_config(&asked).await, name, "the delivered runner is kept");
    assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"]);
    scene.reap_orphans().await;
    assert_eq!(scene.github_runner_names(), [name]);
}

#[tokio::test]
async fn result_behind_the_fence_is_discarded_and_its_runner_reaped() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(LONG, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    scene.world.fault_consumed().await;
    // A second start increases the fence while the response is in flight.
    scene.world.change("UPDATE jobs SET fence = fence + 1 WHERE id = $1", asked.job).await;
    let suspected = eventually("the late config is discarded", || async {
        scene.calls(asked.job).await.pop().filter(|call| call.state == "effect_suspected")
    })
    .await;
    assert_eq!(scene.world.count("SELECT count(*) FROM credentials").await, 0);
    assert!(suspected.github_runner_id.is_some());

    // The worker still owns the lease, so the queue delivers the job again.
    scene.wait_for_success(asked.job).await;
    let name = scene.delivered_config(&asked).await;
    scene.reap_orphans().await;
    assert_eq!(scene.github_runner_names(), [name]);
}

#[tokio::test]
async fn job_that_kills_three_workers_is_poisoned() {
    let scene = Scene::new().await;
    let (asked, other) = (scene.request_runner().await, scene.request_runner().await);
    scene
        .world
        .change("UPDATE jobs SET state = 'running', fence = 3, rescues = 2 WHERE id = $1", asked.job)
        .await;
    scene.add_worker();
    let job = scene.world.until_final(&scene.ada, asked.job).await;
    assert_eq!(
        (job["state"].as_str(), job["error"]["code"].as_str()),
        (Some("failed"), Some("job_poisoned"))
    );
    scene.world.credential(&scene.ada, asked.job).await.refused(500, "job_poisoned");
    assert!(scene.calls(asked.job).await.is_empty());
    scene.wait_for_success(other.job).await;
    assert_eq!(scene.world.count("SELECT count(*) FROM runners WHERE status = 'deleted'").await, 1);
}

#[tokio::test]
async fn worker_that_dies_before_it_records_the_poison_counts_no_further_rescue() {
    let scene = Scene::new().await;
    let asked = scene.request_runner().await;
    // The worker of the third rescue found the job poisoned and was frozen before it could record that.
    let frozen =
        "UPDATE jobs SET state = 'running', fence = 4, attempts = 1, rescues = 3, started_by = 'frozen'
        WHERE id = $1";
    scene.world.change(frozen, asked.job).await;
    scene.add_worker();
    let job = scene.world.until_final(&scene.ada, asked.job).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&"failed".into(), &"job_poisoned".into()), "{job}");
    let counts = "SELECT concat_ws(' ', attempts, snoozes, rescues, fence) FROM jobs WHERE id = $1";
    assert_eq!(scene.world.text(counts, asked.job).await, "1 1 3 5");
    assert!(scene.calls(asked.job).await.is_empty(), "it ran nothing");
}

#[tokio::test]
async fn many_jobs_survive_workers_killed_at_random() {
    let world = World::builder().workers(0).concurrency(6).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let scene = Scene { world, ada };
    scene.fault_jit_calls(FaultKind::Latency { ms: 30 }, 1_000);
    let all = join_all((0..24).map(|_| scene.world.provision(&scene.ada, provision_body("ci")))).await;
    for round in [3_i64, 9] {
        let doomed = [scene.world.start_worker(), scene.world.start_worker()];
        let done = "SELECT count(*) FROM jobs WHERE state = 'succeeded'";
        wait_until("some are done", || async { scene.world.count(done).await >= round }).await;
        for worker in doomed {
            worker.kill().await;
        }
        scene.world.expire_leases(Lane::Provision).await;
    }
    scene.add_worker();
    let mut names = Vec::new();
    for asked in &all {
        scene.wait_for_success(asked.job).await;
        names.push(scene.delivered_config(asked).await);
    }
    scene.reap_orphans().await;
    let mut left = scene.github_runner_names();
    names.sort();
    left.sort();
    assert_eq!(left, names, "one runner for each config, and no other");
}
