//! Responses that never arrive or arrive as errors.

use github_twin::{FaultKind, RunnerSpec, ViolationKind};
use serde_json::json;

use super::Scene;

#[tokio::test]
async fn response_lost_after_the_effect_starts_the_next_generation() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::EffectThenDrop, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    let job = scene.wait_for_success(asked.job).await;
    assert_eq!(job["attempts"], 1);
    assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"]);
    let name = scene.delivered_config(&asked).await;
    assert_ne!(name, asked.name);
    assert_eq!(scene.github_runner_names(), [asked.name, name.clone()]);
    scene.reap_orphans().await;
    assert_eq!(scene.github_runner_names(), [name]);
    assert_eq!(
        scene.world.count("SELECT count(*) FROM audit_log WHERE event_type = 'stray.deleted'").await,
        1
    );
}

#[tokio::test]
async fn response_lost_before_the_effect_costs_only_a_name() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::Drop, 2);
    let asked = scene.request_runner().await;
    scene.add_worker();
    scene.wait_for_success(asked.job).await;
    let states = scene.call_states(asked.job).await;
    assert_eq!(states, ["effect_suspected", "effect_suspected", "delivered"]);
    let names: std::collections::HashSet<String> =
        scene.calls(asked.job).await.into_iter().map(|call| call.runner_name).collect();
    assert_eq!(names.len(), 3);
    scene.delivered_config(&asked).await;
}

#[tokio::test]
async fn server_errors_are_waited_out_with_or_without_effect() {
    for kind in [FaultKind::Status { status: 502 }, FaultKind::EffectThenStatus { status: 502 }] {
        let scene = Scene::new().await;
        scene.fault_jit_calls(kind, 1);
        let asked = scene.request_runner().await;
        scene.add_worker();
        scene.wait_for_snoozes(asked.job, 1).await;
        let waiting = scene.world.job(&scene.ada, asked.job).await;
        assert_eq!((&waiting["blocked_on"], &waiting["attempts"]), (&json!("github_outage"), &json!(0)));
        scene.make_jobs_due().await;
        let job = scene.wait_for_success(asked.job).await;
        assert_eq!(job["attempts"], 1);
        assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"]);
        let name = scene.delivered_config(&asked).await;
        scene.reap_orphans().await;
        assert_eq!(scene.github_runner_names(), [name]);
    }
}

#[tokio::test]
async fn generated_name_that_is_taken_is_skipped() {
    let scene = Scene::new().await;
    let asked = scene.request_runner().await;
    let taken = json!({ "name": asked.name });
    scene.world.twin.create_runner(serde_json::from_value::<RunnerSpec>(taken).unwrap()).unwrap();
    scene.add_worker();
    scene.wait_for_success(asked.job).await;
    assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"]);
    assert_eq!(scene.world.twin.ledger().count(ViolationKind::DuplicateName), 1);
    let name = scene.delivered_config(&asked).await;
    assert_ne!(name, asked.name);
}

#[tokio::test]
async fn effect_after_the_final_job_is_reaped() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::LateEffect { ms: 300_000 }, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    scene.wait_for_success(asked.job).await;
    let name = scene.delivered_config(&asked).await;
    scene.reap_orphans().await;
    assert_eq!(
        scene.call_states(asked.job).await,
        ["effect_suspected", "delivered"],
        "looked up once and kept for the next lookup"
    );
    scene.world.twin.advance(std::time::Duration::from_mins(6));
    assert_eq!(scene.github_runner_names().len(), 2);
    scene.reap_orphans().await;
    assert_eq!(scene.github_runner_names(), [name]);
    assert_eq!(scene.call_states(asked.job).await, ["settled", "delivered"]);
}
