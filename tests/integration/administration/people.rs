//! Roles and memberships of users, and logs of a team.

use harness::team_draft;
use serde_json::{Value, json};
use uuid::Uuid;

use super::scene;

#[tokio::test]
async fn role_is_set_when_a_user_is_added_and_changed() {
    let scene = scene().await;
    let (world, root) = (&scene.world, &scene.root);
    let flags = |user: &Value| (user["role"].clone(), user["is_admin"].clone(), user["is_viewer"].clone());
    for (role, is_admin, is_viewer) in
        [("member", false, false), ("viewer", false, true), ("admin", true, false)]
    {
        let body = json!({ "email": format!("{role}@example.com"), "role": role });
        let made = world.post("/admin/users", root, &body).await.assert_status(201).body;
        assert_eq!(flags(&made), (json!(role), json!(is_admin), json!(is_viewer)));
    }
    let path = format!("/admin/users/{}", scene.ada.id);
    for (sent, role) in [
        (json!({ "role": "viewer" }), "viewer"),
        (json!({ "role": "admin" }), "admin"),
        (json!({ "is_admin": false }), "member"),
        (json!({ "is_viewer": true }), "viewer"),
        (json!({ "role": "member" }), "member"),
        (json!({ "role": "admin", "is_admin": true }), "admin"),
    ] {
        let changed = world.patch(&path, root, &sent).await.assert_status(200).body;
        assert_eq!(changed["role"], role, "{sent}");
    }
    assert_eq!(scene.get(&path).await["role"], "admin");
}

#[tokio::test]
async fn contradicting_or_unknown_role_changes_nothing() {
    let scene = scene().await;
    let path = format!("/admin/users/{}", scene.ada.id);
    for sent in [
        json!({ "role": "member", "is_admin": true }),
        json!({ "role": "admin", "is_viewer": true }),
        json!({ "role": "owner" }),
    ] {
        let refused = scene.world.patch(&path, &scene.root, &sent).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/role"], "{sent}");
    }
    assert_eq!(scene.get(&path).await["role"], "member");
}

#[tokio::test]
async fn last_admin_keeps_the_role() {
    let scene = scene().await;
    let path = format!("/admin/users/{}", scene.root.id);
    for role in ["member", "viewer"] {
        scene.world.patch(&path, &scene.root, &json!({ "role": role })).await.refused(409, "last_admin");
    }
    assert_eq!(scene.get(&path).await["role"], "admin");
}

#[tokio::test]
async fn new_user_joins_all_teams_or_is_not_added() {
    let scene = scene().await;
    let (world, root) = (&scene.world, &scene.root);
    let blue = world.team(team_draft("blue")).await;
    let wrong = json!({ "email": "bob@example.com", "team_ids": [blue.id, Uuid::now_v7()] });
    let refused = world.post("/admin/users", root, &wrong).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/team_ids/1"]);
    assert_eq!(world.count("SELECT count(*) FROM users WHERE email = 'bob@example.com'").await, 0);
    let many = json!({ "email": "bob@example.com", "team_ids": vec![blue.id; 101] });
    let refused = world.post("/admin/users", root, &many).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/team_ids"]);

    let both = json!({ "email": "bob@example.com", "team_ids": [blue.id, scene.red.id, blue.id] });
    world.post("/admin/users", root, &both).await.assert_status(201);
    for team in [&blue, &scene.red] {
        let members = format!("/admin/teams/{}/members", team.id);
        assert!(scene.listed(&members, "members", "email").await.contains(&"bob@example.com".to_owned()));
        let log = format!("/admin/teams/{}/audit-logs?event_type=member.add", team.id);
        assert_eq!(scene.listed(&log, "logs", "user_identity").await, ["root@example.com"]);
    }
}

#[tokio::test]
async fn logs_of_a_team_are_for_its_people() {
    let scene = scene().await;
    let world = &scene.world;
    let blue = world.team(team_draft("blue")).await;
    let (eve, vera, ci) = (
        world.user("eve", &[&blue]).await,
        world.viewer("vera").await,
        world.machine("ci", &scene.red).await,
    );
    let refused = json!({ "runner_name_prefix": "ci", "labels": ["not-mine"] });
    world.jit(&scene.ada, &refused).await.refused(403, "label_policy_violation");
    world.jit(&eve, &refused).await.refused(403, "label_policy_violation");
    for (path, plural) in [("audit-logs", "logs"), ("security-events", "events")] {
        let path = format!("/admin/teams/{}/{path}", scene.red.id);
        for who in [&scene.ada, &vera, &scene.root] {
            let listed = world.get(&path, who).await.assert_status(200).body;
            let rows = listed[plural].as_array().unwrap();
            assert!(!rows.is_empty() && rows.iter().all(|row| row["team_id"] == json!(scene.red.id)));
        }
        world.get(&path, &eve).await.refused(404, "not_found");
        world.get(&path, &ci).await.refused(403, "admin_required");
        let missing = path.replace(&scene.red.id.to_string(), &Uuid::now_v7().to_string());
        world.get(&missing, &scene.root).await.refused(404, "not_found");
        let backwards = format!("{path}?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z");
        let refused = world.get(&backwards, &scene.ada).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["query:until"]);
    }
}

#[tokio::test]
async fn my_teams_say_the_role() {
    let scene = scene().await;
    let (world, vera) = (&scene.world, scene.world.viewer("vera").await);
    let ci = world.machine("ci", &scene.red).await;
    let member = format!("/admin/teams/{}/members", scene.red.id);
    world.post(&member, &scene.root, &json!({ "user_id": vera.id })).await.assert_status(201);
    for (token, role) in
        [(&scene.ada.token, "member"), (&vera.token, "viewer"), (&ci.token, "machine_client")]
    {
        let mine = world.get("/teams/my-teams", token).await.assert_status(200).body;
        assert_eq!((&mine["teams"][0]["role"], &mine["teams"][0]["name"]), (&json!(role), &json!("red")));
    }
}
