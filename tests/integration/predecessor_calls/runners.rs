//! Calls 1 to 7: the caller and their runners.

use harness::World;
use serde_json::{Value, json};

use super::{Scene, assert_has, assert_knows, rows, scene};

/// Checks the members of a runner.
#[track_caller]
fn assert_runner(runner: &Value) {
    assert_has(
        runner,
        &[
            "runner_id",
            "runner_name",
            "status",
            "runner_group_id",
            "labels",
            "ephemeral",
            "provisioned_by",
            "created_at",
            "updated_at",
        ],
    );
    assert_knows(runner, &["github_runner_id", "registered_at", "deleted_at"]);
    for text in ["runner_name", "provisioned_by"] {
        assert!(runner[text].is_string(), "the search calls toLowerCase() of {text}: {runner}");
    }
}

#[tokio::test]
async fn dashboard_learns_who_the_user_is() {
    let Scene { world, ada, .. } = scene().await;
    // 1
    let me = world.get("/auth/me", &ada).await.assert_status(200).body;
    assert_has(&me, &["user_id", "oidc_sub", "email", "roles", "is_admin", "can_use_jit", "teams"]);
    assert_knows(&me, &["display_name"]);
    assert_eq!((&me["oidc_sub"], &me["teams"][0]["name"]), (&json!("ada"), &json!("red")));
    assert_has(&me["teams"][0], &["id", "name"]);
}

async fn provisioned(world: &World, scene: &Scene) -> Value {
    let body =
        json!({ "runner_name_prefix": "dev-runner", "labels": ["gpu-large"], "team_id": scene.red.id });
    world.jit(&scene.ada, &body).await.assert_status(201).body
}

#[tokio::test]
async fn member_provisions_lists_refreshes_and_removes_a_runner() {
    let scene = scene().await;
    let world = &scene.world;
    // 5
    let made = provisioned(world, &scene).await;
    assert_has(
        &made,
        &["runner_id", "runner_name", "encoded_jit_config", "labels", "expires_at", "run_command"],
    );
    assert!(made["runner_name"].as_str().unwrap().starts_with("dev-runner"));
    // 2
    let list = "/runners?status=pending&ephemeral=true&limit=1000&offset=0";
    let list = world.get(list, &scene.ada).await.assert_status(200).body;
    assert_runner(&rows(&list, "runners")[0]);
    // 3
    let list = world.get("/runners?team=red&limit=1000", &scene.ada).await.assert_status(200).body;
    assert_eq!(rows(&list, "runners")[0]["runner_id"], made["runner_id"]);
    // 4
    let path = format!("/runners/{}", made["runner_id"].as_str().unwrap());
    assert_runner(&world.get(&path, &scene.ada).await.assert_status(200).body);
    // 7
    let refresh = format!("{path}/refresh");
    let refreshed = world.ask("POST", &refresh).by(&scene.ada).send().await.assert_status(200).body;
    assert_runner(&refreshed);
    // 6
    let removed = world.delete(&path, &scene.ada).await.assert_status(200).body;
    assert_has(&removed, &["runner_id", "runner_name", "success", "message"]);
    assert_eq!(removed["success"], true);
    assert_eq!(world.get(&path, &scene.ada).await.assert_status(200).body["status"], "deleted");
}
