//! Checks of self-registered runners: labels, group, and the binding to their token.

use domain::InstallationId;
use github_twin::{RunnerChange, RunnerSpec, TwinConfig};
use harness::{ExtraInstallation, World, team_draft, wait_until};
use runtime::config::LabelEnforcement;
use scheduler::{
    sync::{self, PageCache},
    unused,
};
use serde_json::json;
use store::{TeamDraft, UserDraft};
use uuid::Uuid;

use super::{Scene, provision_body};

#[tokio::test]
async fn self_registered_runner_with_refused_labels_is_removed_when_idle() {
    let scene = Scene::new().await;
    let made = scene.request_token("old-1").await;
    let id = scene.register_runner("old-1", &["self-hosted", "prod"], RunnerChange::busy());
    scene.run_sync().await;
    assert_eq!(scene.count_label_violations().await, 1);
    assert!(scene.is_on_github(id), "a busy one is left until it is idle");
    scene.world.twin.set_runner(id, RunnerChange::online()).unwrap();
    scene.run_sync().await;
    wait_until("it is removed", || async {
        scene.world.make_due(domain::Lane::Deprovision).await;
        !scene.is_on_github(id)
    })
    .await;
    scene.wait_for_no_open_job().await;
    assert_eq!(scene.runner(&made).await["status"], "deleted");
    assert_eq!(scene.count_label_violations().await, 1, "recorded once");
    let told = scene.world.get("/admin/security-events?event_type=label_policy_violation", &scene.root).await;
    let data = &told.body["events"][0]["violation_data"];
    assert_eq!((&data["missing"], &data["refused"]), (&json!(["team-red"]), &json!(["prod"])));
}

#[tokio::test]
async fn refused_runner_is_removed_after_another_removal_job_ends() {
    let scene = Scene::new().await;
    let made = scene.request_token("old-1").await;
    sqlx::query("UPDATE runners SET registered_at = registered_at - interval '71 minutes'")
        .execute(scene.world.sql())
        .await
        .unwrap();
    let id = scene.register_runner("old-1", &["team-red", "prod"], RunnerChange::offline());
    assert_eq!(unused::run(scene.world.scheduler_parts()).await.unwrap(), 1);
    let waits = "SELECT count(*) FROM jobs WHERE kind = 'deprovision' AND state = 'queued' AND snoozes = 1";
    wait_until("the other job waits", || async { scene.world.count(waits).await == 1 }).await;
    scene.run_sync().await;
    assert_eq!(scene.count_label_violations().await, 1);
    wait_until("the other job is final", || async {
        scene.world.make_due(domain::Lane::Deprovision).await;
        scene.world.count("SELECT count(*) FROM jobs WHERE finished_at IS NULL").await == 0
    })
    .await;
    assert!(scene.is_on_github(id), "the other job does not remove it");
    scene.run_sync().await;
    wait_until("it is removed", || async { scene.runner(&made).await["status"] == "deleted" }).await;
    assert!(!scene.is_on_github(id));
    assert_eq!(scene.count_label_violations().await, 1, "recorded once");
}

#[tokio::test]
async fn refused_runner_with_corrected_labels_stays() {
    let scene = Scene::new().await;
    let made = scene.request_token("old-1").await;
    let id = scene.register_runner("old-1", &["team-red", "prod"], RunnerChange::online());
    // Its removal is requested by a sync pass that is then blocked.
    let path = format!("/runners/{}", made["runner_id"].as_str().unwrap());
    scene
        .world
        .queue()
        .pause_lane(domain::Lane::Deprovision, std::time::Duration::from_mins(5))
        .await
        .unwrap();
    scene.run_sync().await;
    scene.world.twin.set_runner(id, RunnerChange::labels(["team-red", "gpu-2"])).unwrap();
    let gone = "UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE kind = 'deprovision' AND runner_id = $1";
    scene.world.change(gone, made["runner_id"].as_str().unwrap().parse().unwrap()).await;
    scene.run_sync().await;
    scene.wait_for_no_open_job().await;
    let there = scene.world.get(&path, &scene.ada).await.assert_status(200).body;
    assert_eq!((&there["status"], &there["labels"]), (&json!("active"), &json!(["team-red", "gpu-2"])));
    assert!(scene.is_on_github(id));
}

#[tokio::test]
async fn self_registered_runner_outside_its_group_is_removed() {
    let twin = TwinConfig {
        more_installations: vec![(6_161_616, "globex".to_owned())],
        groups: vec![(1, "Default".to_owned()), (2, "Build's own".to_owned())],
        ..TwinConfig::default()
    };
    let globex = ExtraInstallation { default_group: 2, ..ExtraInstallation::org("second", "globex") };
    let world = World::builder().registration_tokens().twin(twin).installation(globex).start().await;
    let second: InstallationId = "second".parse().unwrap();
    let blue = world.team(TeamDraft { installation: second.clone(), ..team_draft("blue") }).await;
    let may = UserDraft { can_use_registration_token: true, ..world.user_draft("eve") };
    let (eve, root) = (world.person(may, &[&blue]).await, world.admin().await);
    let mut ids = Vec::new();
    for (name, group) in [("well", 2), ("astray", 1)] {
        let made =
            world.post("/runners/provision", &eve, &provision_body(name)).await.assert_status(201).body;
        let command = made["configuration_command"].as_str().unwrap();
        assert!(command.contains(r"--runnergroup 'Build'\''s own'"), "{command}");
        let state = RunnerChange { runner_group_id: Some(group), ..RunnerChange::online() };
        let (scope, labels) = (Some("orgs/globex".to_owned()), vec!["team-blue".to_owned()]);
        let spec = RunnerSpec { name: name.to_owned(), scope, labels, ephemeral: true, state };
        ids.push(world.twin.create_runner(spec).unwrap().id);
    }
    sync::run(&world.scheduler_parts(), &second, &mut PageCache::default()).await.unwrap();
    wait_until("the runner in the wrong group is removed", || async {
        world.twin.runners().into_iter().map(|runner| runner.id).eq([ids[0]])
    })
    .await;
    let told =
        world.get("/admin/security-events?event_type=runner_group_violation", &root).await.assert_status(200);
    let data = &told.body["events"][0]["violation_data"];
    assert_eq!((&data["granted_group_id"], &data["found_group_id"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn label_violation_is_reported_and_left_in_audit_mode() {
    let scene = Scene::with(World::builder().enforcement(LabelEnforcement::Audit)).await;
    let made = scene.request_token("old-1").await;
    let id = scene.register_runner("old-1", &["prod"], RunnerChange::online());
    for _ in 0..2 {
        scene.run_sync().await;
        scene.wait_for_no_open_job().await;
    }
    assert!(scene.is_on_github(id));
    assert_eq!(
        (scene.count_label_violations().await, &scene.runner(&made).await["status"]),
        (1, &json!("active"))
    );
}

#[tokio::test]
async fn foreign_runner_of_the_same_name_is_never_bound() {
    let scene = Scene::new().await;
    let id = scene.register_runner("theirs", &["x"], RunnerChange::online());
    let refused = scene.world.post("/runners/provision", &scene.ada, &provision_body("theirs")).await;
    refused.refused(409, "runner_name_conflict");
    assert_eq!(scene.count_requests("registration-token"), 0);
    scene.run_sync().await;
    assert!(scene.is_on_github(id));

    // Listed before the token existed, and renamed to its name afterwards.
    let made = scene.request_token("old-1").await;
    scene.world.twin.remove_runner(id).unwrap();
    let known = scene.register_runner("old-1", &["prod"], RunnerChange::online());
    let long_known =
        "INSERT INTO unmanaged_runners (id, installation, github_runner_id, name, online, busy, labels,
        first_seen_at) VALUES ($1, 'default', (SELECT max(id) + 1 FROM (SELECT github_runner_id AS id FROM
        unmanaged_runners) known), 'other', true, false, '{}', now() - interval '1 day')";
    scene.world.change(long_known, Uuid::now_v7()).await;
    sqlx::query("UPDATE unmanaged_runners SET github_runner_id = $1 WHERE name = 'other'")
        .bind(i64::try_from(known).unwrap())
        .execute(scene.world.sql())
        .await
        .unwrap();
    scene.run_sync().await;
    scene.wait_for_no_open_job().await;
    assert!(scene.is_on_github(known));
    assert!(scene.runner(&made).await["github_runner_id"].is_null());
    assert_eq!(scene.count_label_violations().await, 0);
}
