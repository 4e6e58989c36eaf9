//! Calls 9 to 13 and 24 to 33: people, teams, members and machine clients.

use serde_json::{Value, json};

use super::{Scene, assert_has, assert_knows, rows, scene};

#[track_caller]
fn assert_user(user: &Value) {
    assert_has(user, &["id", "is_admin", "is_active", "can_use_jit", "created_at"]);
    assert_knows(user, &["email", "oidc_sub", "display_name", "last_login_at"]);
}

#[track_caller]
fn assert_team(team: &Value) {
    assert_has(
        team,
        &[
            "id",
            "name",
            "required_labels",
            "optional_label_patterns",
            "is_active",
            "created_at",
            "updated_at",
            "member_count",
            "active_runner_count",
        ],
    );
    assert_knows(team, &["description", "max_runners"]);
}

async fn user_ids(scene: &Scene, path: &str) -> Vec<Value> {
    rows(&scene.get(path).await, "users").iter().map(|user| user["id"].clone()).collect()
}

#[tokio::test]
async fn people_are_added_changed_deactivated_and_activated() {
    let scene = scene().await;
    // 10
    let bob = json!({ "email": "bob@example.com", "display_name": "Bob", "is_admin": false, "can_use_jit": true,
        "team_ids": [scene.red.id] });
    let bob = scene.post("/admin/users", &bob).await.assert_status(201).body;
    assert_user(&bob);
    let path = format!("/admin/users/{}", bob["id"].as_str().unwrap());
    // 9
    let users = scene.get("/admin/users?include_inactive=false").await;
    rows(&users, "users").iter().for_each(assert_user);
    // 11
    let put = scene.world.ask("PUT", &path).by(&scene.root);
    let changed =
        put.json(&json!({ "is_admin": true, "display_name": "Bob B." })).send().await.assert_status(200).body;
    assert_user(&changed);
    assert_eq!((&changed["is_admin"], &changed["can_use_jit"]), (&json!(true), &json!(true)));
    // 12
    let delete = scene.world.ask("DELETE", &path).by(&scene.root);
    delete.json(&json!({ "comment": "left the company" })).send().await.assert_status(204);
    assert!(!user_ids(&scene, "/admin/users?include_inactive=false").await.contains(&bob["id"]));
    assert!(user_ids(&scene, "/admin/users?include_inactive=true").await.contains(&bob["id"]));
    // 13
    let active = scene.send("POST", &format!("{path}/activate")).await.assert_status(200).body;
    assert_user(&active);
    assert_eq!(active["is_active"], true);
}

#[tokio::test]
async fn teams_are_added_changed_deactivated_and_reactivated() {
    let scene = scene().await;
    // 26
    let web = json!({ "name": "web", "description": "Web team", "required_labels": ["web"],
        "optional_label_patterns": ["web-.*"], "max_runners": 5 });
    let web = scene.post("/admin/teams", &web).await.assert_status(201).body;
    assert_team(&web);
    let path = format!("/admin/teams/{}", web["id"].as_str().unwrap());
    // 27
    let change = json!({ "description": "Front end", "required_labels": ["web"], "max_runners": null });
    let changed = scene.world.patch(&path, &scene.root, &change).await.assert_status(200).body;
    assert_team(&changed);
    assert_eq!((&changed["max_runners"], &changed["description"]), (&Value::Null, &json!("Front end")));
    // 28
    scene.post(&format!("{path}/deactivate"), &json!({ "reason": "restructured" })).await.assert_status(200);
    // 24
    let all = scene.get("/admin/teams?include_inactive=true").await;
    rows(&all, "teams").iter().for_each(assert_team);
    let names = |body: &Value| -> Vec<String> {
        rows(body, "teams").iter().map(|team| team["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&all), ["web", "red"]);
    assert_eq!(names(&scene.get("/admin/teams?include_inactive=false").await), ["red"]);
    // 29
    scene.send("POST", &format!("{path}/reactivate")).await.assert_status(200);
    // 25
    let team = scene.get(&path).await;
    assert_team(&team);
    assert_eq!(team["is_active"], true);
}

#[tokio::test]
async fn members_are_shown_added_and_removed() {
    let scene = scene().await;
    let (world, path) = (&scene.world, format!("/admin/teams/{}/members", scene.red.id));
    let bob = world.user("bob", &[]).await;
    // 31
    scene.post(&path, &json!({ "user_id": bob.id })).await.assert_status(201);
    // 30
    let members = scene.get(&path).await;
    let members = rows(&members, "members");
    assert_eq!(members.len(), 2);
    for member in members {
        assert_has(member, &["user_id", "email", "joined_at"]);
        assert_knows(member, &["display_name"]);
        assert!(member["joined_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().is_ok());
    }
    // 31
    let first = members[0]["user_id"].as_str().unwrap();
    assert_eq!(first, bob.id.to_string());
    scene.send("DELETE", &format!("{path}/{first}")).await.assert_status(204);
    assert_eq!(rows(&scene.get(&path).await, "members").len(), 1);
}

#[tokio::test]
async fn machine_clients_are_added_switched_and_removed() {
    let scene = scene().await;
    // 33
    let ci = json!({ "client_id": "aBcDeFgHiJkL", "team_id": scene.red.id, "description": "pipeline" });
    let ci = scene.post("/admin/oauth-clients", &ci).await.assert_status(201).body;
    let path = format!("/admin/oauth-clients/{}", ci["id"].as_str().unwrap());
    let off = scene.world.patch(&path, &scene.root, &json!({ "is_active": false })).await.assert_status(200);
    assert_eq!(off.body["is_active"], false);
    // 32
    let list = format!("/admin/oauth-clients?team_id={}&active_only=false", scene.red.id);
    let clients = scene.get(&list).await;
    let client = &rows(&clients, "clients")[0];
    assert_has(
        client,
        &["id", "client_id", "team_id", "description", "is_active", "created_at", "created_by"],
    );
    assert_knows(client, &["last_used_at"]);
    assert_eq!(client["created_by"], "root@example.com");
    // 33
    scene.send("DELETE", &path).await.assert_status(204);
    assert!(rows(&scene.get(&list).await, "clients").is_empty());
}
