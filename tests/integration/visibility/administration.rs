//! Rights of administration, and the audit of every change.

use harness::{provision_body, team_draft};
use serde_json::{Value, json};
use uuid::Uuid;

use super::scene;

#[tokio::test]
async fn administration_is_for_admins() {
    let scene = scene().await;
    let team = scene.red.id;
    let calls = [
        ("GET", "/admin/users".to_owned(), None),
        ("POST", "/admin/users".to_owned(), Some(json!({ "email": "x@example.com", "is_admin": true }))),
        ("GET", "/admin/teams".to_owned(), None),
        ("POST", "/admin/teams".to_owned(), Some(json!({ "name": "mine" }))),
        ("GET", format!("/admin/teams/{team}"), None),
        ("PATCH", format!("/admin/teams/{team}"), Some(json!({ "max_runners": null }))),
        ("GET", format!("/admin/teams/{team}/members"), None),
        ("POST", format!("/admin/teams/{team}/members"), Some(json!({ "user_id": scene.bob.id }))),
        ("DELETE", format!("/admin/teams/{team}/members/{}", scene.ada.id), None),
        ("GET", "/admin/oauth-clients".to_owned(), None),
        ("POST", "/admin/oauth-clients".to_owned(), Some(json!({ "client_id": "x", "team_id": team }))),
        ("GET", "/admin/security-events".to_owned(), None),
    ];
    let rows = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM teams)
         + (SELECT count(*) FROM team_members) + (SELECT count(*) FROM oauth_clients)";
    let before = scene.world.count(rows).await;
    for (method, path, body) in &calls {
        let reads_team = *method == "GET" && path.starts_with("/admin/teams");
        let people = [&scene.ada.token].into_iter().filter(|_| !reads_team);
        for who in people.chain([&scene.ci.token]) {
            let ask = scene.world.ask(method, path).by(who);
            let ask = if let Some(body) = body { ask.json(body) } else { ask };
            ask.send().await.refused(403, "admin_required");
        }
    }
    assert_eq!(scene.world.count(rows).await, before);
}

#[tokio::test]
async fn members_read_their_own_teams_policies_and_members() {
    let scene = scene().await;
    let (world, ada, bob) = (&scene.world, &scene.ada, &scene.bob);
    let green = world.team(team_draft("green")).await;
    let member = format!("/admin/teams/{}/members", green.id);
    world.post(&member, &scene.root, &json!({ "user_id": ada.id })).await.assert_status(201);
    let names = |body: &Value, plural: &str, name: &str| -> Vec<String> {
        body[plural].as_array().unwrap().iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
    };
    let list = world.get("/admin/teams", ada).await.assert_status(200).body;
    assert_eq!(
        (names(&list, "teams", "name"), &list["total"]),
        (vec!["green".into(), "red".into()], &json!(2))
    );
    let first = world.get("/admin/teams?limit=1", ada).await.assert_status(200).body;
    assert_eq!(names(&first, "teams", "name"), ["green"]);
    let next = format!("/admin/teams?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(names(&world.get(&next, ada).await.assert_status(200).body, "teams", "name"), ["red"]);
    assert_eq!(
        names(&world.get("/admin/teams", bob).await.assert_status(200).body, "teams", "name"),
        ["blue"]
    );

    let red = format!("/admin/teams/{}", scene.red.id);
    let policy = world.get(&red, ada).await.assert_status(200).body;
    assert_eq!(policy["required_labels"], json!(["team-red"]));
    let members = world.get(&format!("{red}/members"), ada).await.assert_status(200).body;
    assert_eq!(names(&members, "members", "email"), ["ada@example.com"]);
    for path in [red.clone(), format!("{red}/members")] {
        let none = path.replace(&scene.red.id.to_string(), &Uuid::now_v7().to_string());
        let (foreign, none) = (world.get(&path, bob).await, world.get(&none, bob).await);
        assert_eq!(foreign.refused(404, "not_found").body, none.refused(404, "not_found").body, "{path}");
    }
    let outsider = world.user("eve", &[]).await;
    assert_eq!(world.get("/admin/teams", &outsider).await.assert_status(200).body["total"], 0);
}

#[tokio::test]
async fn members_are_added_and_removed() {
    let scene = scene().await;
    let (world, root) = (&scene.world, &scene.root);
    let members = format!("/admin/teams/{}/members", scene.red.id);
    let bob = json!({ "user_id": scene.bob.id });
    let added = world.post(&members, root, &bob).await.assert_status(201).body;
    assert_eq!(added["email"], "bob@example.com");
    world.post(&members, root, &bob).await.assert_status(200);
    let list = world.get(&members, root).await.assert_status(200).body;
    assert_eq!(list["total"], 2);
    assert_eq!(list["members"][0]["oidc_sub"], "bob");
    let both = world.jit(&scene.bob, &provision_body("x")).await.refused(422, "team_required");
    assert!(both.body["detail"].as_str().unwrap().contains("red"));

    let member = format!("{members}/{}", scene.bob.id);
    world.delete(&member, root).await.assert_status(204);
    world.delete(&member, root).await.refused(404, "not_found");
    assert_eq!(world.get(&members, root).await.assert_status(200).body["total"], 1);
    let stranger = world.post(&members, root, &json!({ "user_id": Uuid::now_v7() })).await;
    assert_eq!(stranger.refused(422, "validation_failed").pointers(), ["/user_id"]);
    assert_eq!((scene.audited("member.add").await, scene.audited("member.remove").await), (1, 1));
}

#[tokio::test]
async fn people_and_machines_are_added() {
    let scene = scene().await;
    let (world, root) = (&scene.world, &scene.root);
    let carol = json!({ "email": "Carol@example.com", "display_name": "Carol" });
    let made = world.post("/admin/users", root, &carol).await.assert_status(201).body;
    assert_eq!(
        (&made["can_use_jit"], &made["is_admin"], &made["oidc_sub"]),
        (&json!(true), &json!(false), &Value::Null)
    );
    let twice = json!({ "email": "carol@EXAMPLE.com" });
    assert_eq!(
        world.post("/admin/users", root, &twice).await.refused(409, "already_exists").pointers(),
        ["/email"]
    );
    let same = json!({ "issuer": world.issuer().url(), "oidc_sub": "ada" });
    assert_eq!(
        world.post("/admin/users", root, &same).await.refused(409, "already_exists").pointers(),
        ["/oidc_sub"]
    );
    assert_eq!(world.get("/admin/users", root).await.assert_status(200).body["users"][0]["id"], made["id"]);

    let deploy = json!({ "client_id": "deploy", "team_id": scene.red.id,
        "rule": { "subject": "repo:acme/*", "claims": { "environment": "prod" } } });
    let made = world.post("/admin/oauth-clients", root, &deploy).await.assert_status(201).body;
    assert_eq!(made["issuer"], world.issuer().url());
    assert_eq!(made["rule"], deploy["rule"]);
    let taken = world.post("/admin/oauth-clients", root, &deploy).await.refused(409, "already_exists");
    assert_eq!(taken.pointers(), ["/client_id"]);
    assert_eq!(world.get("/admin/oauth-clients", root).await.assert_status(200).body["total"], 3);
    assert_eq!((scene.audited("user.create").await, scene.audited("client.create").await), (1, 1));
}

#[tokio::test]
async fn team_patch_changes_only_the_given_fields() {
    let scene = scene().await;
    let (world, root) = (&scene.world, &scene.root);
    let green = json!({ "name": "green", "required_labels": ["g"], "max_runners": 3, "description": "new" });
    let made = world.post("/admin/teams", root, &green).await.assert_status(201).body;
    assert_eq!(
        (&made["weight"], &made["drift_response"], &made["is_active"]),
        (&json!(1.0), &json!("delete"), &json!(true))
    );
    world.post("/admin/teams", root, &json!({ "name": "green" })).await.refused(409, "already_exists");

    let path = format!("/admin/teams/{}", made["id"].as_str().unwrap());
    let changed = world
        .patch(&path, root, &json!({ "max_runners": null, "weight": 2.5 }))
        .await
        .assert_status(200)
        .body;
    let mut wanted = made.clone();
    (wanted["max_runners"], wanted["weight"]) = (Value::Null, json!(2.5));
    wanted["updated_at"] = changed["updated_at"].clone();
    assert_eq!(changed, wanted);
    assert_eq!(world.get(&path, root).await.assert_status(200).body, wanted);

    let off = json!({ "is_active": false, "deactivation_reason": "moved" });
    let changed = world.patch(&path, root, &off).await.assert_status(200).body;
    assert_eq!(changed["deactivation_reason"], "moved");
    let on = world.patch(&path, root, &json!({ "is_active": true })).await.assert_status(200).body;
    assert_eq!(on["deactivation_reason"], Value::Null);
    world.patch(&path, root, &json!({ "name": "red" })).await.refused(409, "already_exists");
    assert_eq!((scene.audited("team.create").await, scene.audited("team.update").await), (1, 3));

    let log =
        world.get("/audit-logs?event_type=team.update&success=true", root).await.assert_status(200).body;
    let data = &log["logs"][2]["event_data"];
    assert_eq!(data["before"], json!({ "max_runners": 3, "weight": 1.0 }));
    assert_eq!(data["after"], json!({ "max_runners": null, "weight": 2.5 }));
    assert_eq!(log["logs"][2]["team_name"], "green");
}
