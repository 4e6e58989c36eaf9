//! Teams that are deactivated, reactivated, and changed by several admins at once.

use futures::future::join_all;
use harness::provision_body;
use serde_json::{Value, json};

use super::Scene;

#[tokio::test]
async fn deactivated_team_gets_no_runners_until_it_is_reactivated() {
    let scene = Scene::new().await;
    let (world, ada, root) = (&scene.world, &scene.ada, &scene.root);
    let unread = world.provision(ada, provision_body("unread")).await;
    world.until_final(ada, unread.job).await;
    scene.pause_provisioning().await;
    let waiting = world.provision(ada, provision_body("waiting")).await;

    let path = format!("{}/deactivate", scene.team_path());
    world.post(&path, root, &json!({})).await.refused(422, "validation_failed");
    let off = world.post(&path, root, &json!({ "reason": "moved to blue" })).await.assert_status(200).body;
    assert_eq!((&off["is_active"], &off["deactivation_reason"]), (&json!(false), &json!("moved to blue")));
    scene.assert_cancelled(waiting.job, "team_inactive").await;
    let refused = world.credential(ada, unread.job).await.refused(403, "team_inactive");
    assert!(refused.body["detail"].as_str().unwrap().contains("moved to blue"));
    world.jit(ada, &provision_body("ci")).await.refused(403, "team_inactive");
    scene.wait_for_no_runner().await;
    let data = scene.audit_details("team.deactivate").await;
    assert_eq!(data["before"], json!({ "is_active": true, "deactivation_reason": null }));
    assert_eq!(data["revoked"], json!({ "cancelled_jobs": 1, "shredded_configs": 1, "removed_runners": 1 }));

    let path = format!("{}/reactivate", scene.team_path());
    let on = world.ask("POST", &path).by(root).send().await.assert_status(200).body;
    assert_eq!((&on["is_active"], &on["deactivation_reason"]), (&json!(true), &Value::Null));
    assert_eq!(scene.audit_details("team.reactivate").await["after"]["is_active"], true);
    world.jit(ada, &provision_body("ci")).await.assert_status(202);
}

#[tokio::test]
async fn members_of_a_deactivated_team_may_only_tidy_up() {
    let scene = Scene::new().await;
    let (world, ada, root) = (&scene.world, &scene.ada, &scene.root);
    let asked = world.provision(ada, provision_body("ci")).await;
    world.until_final(ada, asked.job).await;
    world.credential(ada, asked.job).await.assert_status(200);
    let off = json!({ "reason": "moved" });
    world.post(&format!("{}/deactivate", scene.team_path()), root, &off).await.assert_status(200);
    let runner = format!("/runners/{}", asked.runner);
    world.get(&runner, ada).await.assert_status(200);
    let refresh = format!("{runner}/refresh");
    world.ask("POST", &refresh).by(ada).send().await.refused(403, "team_inactive");
    world.ask("POST", &refresh).by(root).send().await.assert_status(202);
    world.delete(&runner, ada).await.assert_status(202);
    scene.wait_for_no_runner().await;
}

#[tokio::test]
async fn concurrent_changes_of_different_fields_are_all_kept() {
    let scene = Scene::new().await;
    let (world, root) = (&scene.world, &scene.root);
    for round in 1..=8 {
        let changes = [
            json!({ "description": format!("round {round}") }),
            json!({ "max_runners": round }),
            json!({ "weight": round }),
            json!({ "required_labels": [format!("r{round}")] }),
            json!({ "allowed_workflows": [format!("w{round}")] }),
            json!({ "is_active": false, "deactivation_reason": format!("reason {round}") }),
        ];
        let path = scene.team_path();
        let patches = changes.iter().map(|change| world.patch(&path, root, change));
        for answer in join_all(patches).await {
            answer.assert_status(200);
        }
        let now = world.get(&path, root).await.assert_status(200).body;
        for change in changes {
            for (name, value) in change.as_object().unwrap() {
                let same =
                    now[name] == *value || now[name].as_f64().is_some_and(|n| Some(n) == value.as_f64());
                assert!(same, "{name} is {} after {value}", now[name]);
            }
        }
        world.patch(&path, root, &json!({ "is_active": true })).await.assert_status(200);
    }
}

#[tokio::test]
async fn team_names_are_kebab_case() {
    let scene = Scene::new().await;
    let (world, root) = (&scene.world, &scene.root);
    let long = "a".repeat(51);
    for name in ["x", "Web", "web team", "web_team", "-web", "web-", "", &long] {
        let refused = world.post("/admin/teams", root, &json!({ "name": name })).await;
        assert_eq!(refused.refused(422, "validation_failed").pointers(), ["/name"], "{name}");
        let refused = world.patch(&scene.team_path(), root, &json!({ "name": name })).await;
        assert_eq!(refused.refused(422, "validation_failed").pointers(), ["/name"], "{name}");
    }
    let renamed =
        world.patch(&scene.team_path(), root, &json!({ "name": "web-2" })).await.assert_status(200).body;
    assert_eq!(renamed["name"], "web-2");
    // A team created before the naming rule keeps its name.
    world.change("UPDATE teams SET name = 'Old Name' WHERE id = $1", scene.red.id.uuid()).await;
    world
        .patch(&scene.team_path(), root, &json!({ "name": "Old Name", "weight": 2.0 }))
        .await
        .assert_status(200);
}

#[tokio::test]
async fn new_team_is_recorded_with_every_field() {
    let scene = Scene::new().await;
    let team = json!({
        "name": "green", "description": "new", "required_labels": ["g"], "optional_label_patterns": ["glob:x-*"],
        "allowed_runner_group_ids": [1, 7], "allowed_repositories": ["acme/*"], "allowed_workflows": ["CI*"],
        "max_runners": 3, "weight": 2.0, "drift_response": "observe", "installation": "default",
        "add_self_hosted": false,
    });
    scene.world.post("/admin/teams", &scene.root, &team).await.assert_status(201);
    assert_eq!(scene.audit_details("team.create").await, team);
}
