//! Refusals that are only temporary, and responses that are valid only in form.

use std::time::Duration;

use domain::InstallationId;
use github_twin::{FaultKind, RunnerSpec};
use harness::{World, team_draft, wait_until};
use queue::{BudgetSettings, Reason};
use serde_json::{Value, json};

use super::Scene;

fn count_minted_tokens(scene: &Scene) -> usize {
    scene.world.twin.ledger().of("POST", "access_tokens").count()
}

fn count_jit_calls(scene: &Scene) -> usize {
    scene.world.twin.ledger().of("POST", "generate-jitconfig").count()
}

#[tokio::test]
async fn new_token_unknown_to_github_is_retried() {
    for status in [401, 403] {
        let scene = Scene::new().await;
        scene.fault_jit_calls(FaultKind::Status { status }, 3);
        let asked = scene.request_runner().await;
        scene.add_worker();
        let job = scene.wait_for_success(asked.job).await;
        assert_eq!(job["attempts"], 1, "waiting for GitHub counts no attempt");
        assert_eq!(
            (count_minted_tokens(&scene), count_jit_calls(&scene)),
            (1, 4),
            "the same token, and no other"
        );
        assert_eq!(scene.call_states(asked.job).await, ["delivered"], "no generation is spent");
        assert_eq!(scene.delivered_config(&asked).await, asked.name);
    }
}

#[tokio::test]
async fn many_jobs_refused_at_once_mint_no_second_token() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::Status { status: 401 }, 20);
    let asked = futures::future::join_all((0..12).map(|_| scene.request_runner())).await;
    scene.add_worker();
    scene.add_worker();
    for one in &asked {
        scene.wait_for_success(one.job).await;
    }
    assert_eq!(count_minted_tokens(&scene), 1);
    assert_eq!(scene.github_runner_names().len(), 12);
}

#[tokio::test]
async fn slow_mint_keeps_its_short_lock_until_it_ends() {
    let scene = Scene::new().await;
    let slow = FaultKind::Latency { ms: 10_000 };
    scene.world.twin.fault(github_twin::Fault::once("POST", "access_tokens", slow));
    let asked = scene.request_runner().await;
    scene.add_worker();
    scene.world.fault_consumed().await;
    scene.add_worker();
    let other = scene.request_runner().await;
    let corner = scene.world.redis();
    let keys = corner.keys().await;
    let lock =
        keys.iter().find(|key| key.contains(":lock:mint:")).expect("a lock while the mint is under way");
    let left: i64 = corner.send_command("PTTL", &[lock]).await;
    assert!(left <= 4_000, "the lock of a killed process lasts {left} ms");
    for job in [asked.job, other.job] {
        scene.wait_for_success(job).await;
    }
    assert_eq!(count_minted_tokens(&scene), 1, "the lock was renewed until the mint ended");
    assert!(
        corner.keys().await.iter().all(|key| !key.contains(":lock:mint:")),
        "the lock is released at the end"
    );
}

#[tokio::test]
async fn removal_waits_for_a_token_that_is_too_new() {
    let scene = Scene::new().await;
    scene.add_worker();
    let asked = scene.request_runner().await;
    scene.wait_for_success(asked.job).await;
    let fault = |method: &str| {
        let kind = FaultKind::Status { status: 401 };
        scene.world.twin.fault(github_twin::Fault::new(kind).on(method, "{runner_id}").times(1));
    };
    fault("GET");
    fault("DELETE");
    let path = format!("/runners/{}", asked.runner);
    scene.world.delete(&path, &scene.ada).await.assert_status(202);
    wait_until("it is removed", || async {
        scene.world.get(&path, &scene.ada).await.body["status"] == "deleted"
    })
    .await;
    assert_eq!(count_minted_tokens(&scene), 1);
    assert!(scene.github_runner_names().is_empty());
}

#[tokio::test]
async fn response_with_wrong_content_counts_as_lost() {
    let patches = [
        json!({ "encoded_jit_config": "" }),
        json!({ "encoded_jit_config": null }),
        json!({ "encoded_jit_config": "bm90IGEgY29uZmln" }),
        json!({ "runner": { "name": "somebody-else" } }),
        json!({ "runner": { "id": 0 } }),
    ];
    for patch in patches {
        let scene = Scene::new().await;
        scene.fault_jit_calls(FaultKind::EffectThenPatch { patch: patch.clone() }, 1);
        let asked = scene.request_runner().await;
        scene.add_worker();
        let job = scene.wait_for_success(asked.job).await;
        assert_eq!(job["attempts"], 1, "{patch}");
        assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"], "{patch}");
        let name = scene.delivered_config(&asked).await;
        assert_ne!(name, asked.name);
        scene.reap_orphans().await;
        assert_eq!(scene.github_runner_names(), [name], "the orphan is removed: {patch}");
    }
}

#[tokio::test]
async fn conflict_with_another_message_leads_to_the_next_generation() {
    let scene = Scene::new().await;
    let body = Some(json!({ "message": "Conflict" }));
    scene.fault_jit_calls(FaultKind::Answer { status: 409, headers: Vec::new(), body }, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    scene.wait_for_success(asked.job).await;
    assert_eq!(scene.call_states(asked.job).await, ["effect_suspected", "delivered"]);
    assert_ne!(scene.delivered_config(&asked).await, asked.name);
}

#[tokio::test]
async fn job_waiting_for_the_budget_uses_no_generation() {
    let slow = BudgetSettings { points_per_minute: 30, ..BudgetSettings::default() };
    let scene = Scene::with(World::builder().budget(slow), team_draft("red")).await;
    let until = Duration::from_mins(10);
    scene.add_worker();
    let first = scene.request_runner().await;
    scene.wait_for_success(first.job).await;
    let asked = scene.request_runner().await;
    scene.world.queue().pause(&InstallationId::default(), until, Reason::Budget).await.unwrap();
    wait_until("it waits", || async {
        let job: Value = scene.world.job(&scene.ada, asked.job).await;
        job["state"] != "running"
    })
    .await;
    scene.world.queue().resume(&InstallationId::default(), Reason::Budget).await.unwrap();
    scene.world.redis().open_windows().await;
    scene.make_jobs_due().await;
    scene.wait_for_success(asked.job).await;
    assert_eq!(scene.call_states(asked.job).await, ["delivered"]);
    assert_eq!(scene.delivered_config(&asked).await, asked.name, "the name in the accepting response");
}

#[tokio::test]
async fn rate_limit_consumes_no_generation() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::SecondaryLimit { status: 429, retry_after: Some(1) }, 2);
    let asked = scene.request_runner().await;
    scene.add_worker();
    scene.wait_for_success(asked.job).await;
    assert_eq!(scene.delivered_config(&asked).await, asked.name);
}

#[tokio::test]
async fn retry_after_of_a_server_error_is_obeyed() {
    let scene = Scene::new().await;
    scene.fault_jit_calls(FaultKind::Unavailable { status: 503, retry_after: "120".into() }, 1);
    let asked = scene.request_runner().await;
    scene.add_worker();
    let pause = harness::eventually("the installation is paused", || async {
        let pauses = scene.world.queue().pauses().await.unwrap();
        pauses.into_iter().map(|paused| paused.pause).find(|pause| pause.reason == Reason::GithubOutage)
    })
    .await;
    assert!(pause.left > Duration::from_mins(1), "{pause:?}");
    wait_until("the job says why it waits", || async {
        scene.world.job(&scene.ada, asked.job).await["blocked_on"] == "github_outage"
    })
    .await;
    let before = count_jit_calls(&scene);
    scene.make_jobs_due().await;
    let late = scene.request_runner().await;
    wait_until("another job waits as well", || async {
        scene.world.job(&scene.ada, late.job).await["blocked_on"] == "github_outage"
    })
    .await;
    assert_eq!(count_jit_calls(&scene), before, "no request during the pause");
    scene.world.twin.advance(Duration::from_secs(121));
    scene.world.queue().resume(&InstallationId::default(), Reason::GithubOutage).await.unwrap();
    scene.make_jobs_due().await;
    scene.wait_for_success(asked.job).await;
    scene.wait_for_success(late.job).await;
    assert!(scene.world.twin.ledger().violations.is_empty());
}

#[tokio::test]
async fn suspension_in_a_response_pauses_the_installation_and_alarms() {
    let scene = Scene::new().await;
    scene.add_worker();
    let first = scene.request_runner().await;
    scene.wait_for_success(first.job).await;
    let body = Some(json!({ "message": "This installation has been suspended" }));
    scene.fault_jit_calls(FaultKind::Answer { status: 403, headers: Vec::new(), body }, 1);
    let asked = scene.request_runner().await;
    let events = "SELECT count(*) FROM security_events WHERE event_type = 'installation_suspended'";
    wait_until("the event is recorded", || async { scene.world.count(events).await == 1 }).await;
    wait_until("it is paused", || async {
        scene.world.job(&scene.ada, asked.job).await["blocked_on"] == "paused"
    })
    .await;
    let suspended = "SELECT count(*) FROM installations WHERE suspended_at IS NOT NULL";
    assert_eq!(scene.world.count(suspended).await, 1);
    assert_eq!(scene.call_states(asked.job).await, Vec::<String>::new());
    assert_eq!(
        scheduler::suspension::run(scene.world.scheduler_parts()).await.unwrap(),
        1,
        "GitHub reports the end of the suspension"
    );
    scene.make_jobs_due().await;
    scene.wait_for_success(asked.job).await;
    assert_eq!(scene.world.count(events).await, 1, "recorded once");
}

#[tokio::test]
async fn malformed_listing_entry_hides_no_other() {
    let scene = Scene::new().await;
    scene.add_worker();
    let asked = scene.request_runner().await;
    scene.wait_for_success(asked.job).await;
    let made = scene.world.twin.runner(&scene.delivered_config(&asked).await).unwrap();
    let spec = json!({ "name": "theirs" });
    scene.world.twin.create_runner(serde_json::from_value::<RunnerSpec>(spec).unwrap()).unwrap();
    let good =
        json!({ "id": 9, "name": "good\u{0}", "os": null, "status": "online", "busy": false, "labels": [] });
    let patch =
        json!({ "total_count": 3, "runners": [{ "id": made.id, "name": null }, { "id": "x" }, good] });
    scene
        .world
        .twin
        .fault(github_twin::Fault::new(FaultKind::EffectThenPatch { patch }).on("GET", "/runners"));
    let mut memory = scheduler::sync::PageCache::default();
    for _ in 0..3 {
        let passed =
            scheduler::sync::run(&scene.world.scheduler_parts(), &InstallationId::default(), &mut memory)
                .await
                .unwrap();
        assert_eq!((passed.result, passed.listed, passed.missing), ("incomplete", 1, 0));
    }
}
