//! Names requested by the caller, which have no next generation.

use github_twin::{FaultKind, RunnerSpec, RunnerStatus};
use harness::Accepted;
use serde_json::json;

use super::Scene;

impl Scene {
    async fn request_named_runner(&self, name: &str) -> Accepted {
        self.world.provision(&self.ada, json!({ "runner_name": name })).await
    }

    async fn assert_name_conflict(&self, asked: &Accepted) {
        let job = self.world.until_final(&self.ada, asked.job).await;
        assert_eq!(
            (job["state"].as_str(), job["error"]["code"].as_str()),
            (Some("failed"), Some("runner_name_conflict")),
            "{job}"
        );
        self.world.credential(&self.ada, asked.job).await.refused(409, "runner_name_conflict");
        let row =
            self.world.get(&format!("/runners/{}", asked.runner), &self.ada).await.assert_status(200).body;
        assert_eq!(row["status"], "deleted", "the name and the place in the quota are free again");
    }
}

#[tokio::test]
async fn foreign_runner_is_not_touched() {
    for status in ["online", "offline"] {
        let scene = Scene::new().await;
        let spec = json!({ "name": "Builder-1", "labels": ["theirs"], "status": status });
        let theirs =
            scene.world.twin.create_runner(serde_json::from_value::<RunnerSpec>(spec).unwrap()).unwrap();
        let asked = scene.request_named_runner("builder-1").await;
        scene.add_worker();
        scene.assert_name_conflict(&asked).await;
        assert_eq!(scene.world.twin.runners(), [theirs]);
        let ledger = scene.world.twin.ledger();
        assert_eq!(ledger.of("DELETE", "runners").count(), 0);
    }
}

#[tokio::test]
async fn waiting_request_ends_with_the_name_conflict() {
    let scene = Scene::new().await;
    let spec = json!({ "name": "builder-1" });
    scene.world.twin.create_runner(serde_json::from_value::<RunnerSpec>(spec).unwrap()).unwrap();
    scene.add_worker();
    let ask = scene.world.ask("POST", "/runners/jit").by(&scene.ada).header("prefer", "wait=20");
    ask.json(&json!({ "runner_name": "builder-1" })).send().await.refused(409, "runner_name_conflict");
}

#[tokio::test]
async fn orphan_of_a_lost_response_is_removed_and_created_again() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::EffectThenDrop, 1);
    let asked = scene.request_named_runner("builder-1").await;
    scene.add_worker();
    scene.wait_for_snoozes(asked.job, 1).await;
    let lost = scene.world.twin.runner("builder-1").unwrap();
    scene.make_jobs_due().await;
    scene.wait_for_snoozes(asked.job, 2).await;
    assert!(scene.world.twin.runner("builder-1").is_none(), "an idle orphan of ours is removed");
    scene.make_jobs_due().await;
    scene.wait_for_success(asked.job).await;
    assert_eq!(scene.delivered_config(&asked).await, "builder-1");
    assert_ne!(scene.world.twin.runner("builder-1").unwrap().id, lost.id);
    assert_eq!(scene.call_states(asked.job).await, ["settled", "delivered"]);
}

#[tokio::test]
async fn lost_response_without_effect_is_retried_after_a_grace() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::Drop, 1);
    let asked = scene.request_named_runner("builder-1").await;
    scene.add_worker();
    scene.wait_for_snoozes(asked.job, 1).await;
    scene.make_jobs_due().await;
    scene.wait_for_snoozes(asked.job, 2).await;
    assert_eq!(scene.call_states(asked.job).await, ["effect_suspected"], "too early to be sure");
    let age = "UPDATE github_calls SET started_at = started_at - interval '11 s' WHERE job_id = $1";
    scene.world.change(age, asked.job).await;
    scene.make_jobs_due().await;
    scene.wait_for_success(asked.job).await;
    assert_eq!(scene.delivered_config(&asked).await, "builder-1");
}

#[tokio::test]
async fn orphan_of_a_lost_response_is_kept_while_in_use() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::EffectThenDrop, 1);
    let asked = scene.request_named_runner("builder-1").await;
    scene.add_worker();
    scene.wait_for_snoozes(asked.job, 1).await;
    let made = scene.world.twin.runner("builder-1").unwrap();
    scene.world.twin.set_runner(made.id, github_twin::RunnerChange::online()).unwrap();
    scene.make_jobs_due().await;
    scene.assert_name_conflict(&asked).await;
    assert_eq!(scene.world.twin.runner("builder-1").unwrap().status, RunnerStatus::Online);
}

#[tokio::test]
async fn requested_name_is_reused_by_the_next_job() {
    let scene = Scene::new().await;
    scene.add_worker();
    let first = scene.request_named_runner("builder-1").await;
    scene.wait_for_success(first.job).await;
    let body = json!({ "runner_name": "builder-1" });
    scene.world.jit(&scene.ada, &body).await.refused(409, "runner_name_conflict");
    let runner = scene.world.twin.runner("builder-1").unwrap();
    scene.world.twin.remove_runner(runner.id).unwrap();
    let gone = "UPDATE runners SET status = 'deleted', deleted_at = now() WHERE id = $1";
    scene.world.change(gone, first.runner).await;
    let second = scene.request_named_runner("builder-1").await;
    scene.wait_for_success(second.job).await;
    assert_ne!(second.runner, first.runner);
    assert_ne!(scene.world.twin.runner("builder-1").unwrap().id, runner.id);
}
