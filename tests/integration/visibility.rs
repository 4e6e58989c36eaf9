//! Who sees what, who may administer, and that every change is written down.

use harness::{Anyone, Bearer, Machine, Person, Team, World, provision_body, team_draft};
use serde_json::{Value, json};
use uuid::Uuid;

/// Two teams, each with a person and a machine, and a job of each of the four.
struct Scene {
    world: World,
    red: Team,
    blue: Team,
    ada: Person,
    bob: Person,
    ci: Machine,
    nightly: Machine,
    root: Person,
}

async fn scene() -> Scene {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let scene = Scene {
        ada: world.user("ada", &[&red]).await,
        bob: world.user("bob", &[&blue]).await,
        ci: world.machine("ci", &red).await,
        nightly: world.machine("nightly", &blue).await,
        root: world.admin().await,
        world,
        red,
        blue,
    };
    scene.world.provision(&scene.ada, provision_body("ada")).await;
    scene.world.provision(&scene.ci, provision_body("ci")).await;
    scene.world.provision(&scene.bob, provision_body("bob")).await;
    scene.world.provision(&scene.nightly, provision_body("nightly")).await;
    scene
}

impl Scene {
    /// What stands before the generated part of every runner name of a list, newest first; checks the total.
    async fn names(&self, path: &str, plural: &str, who: &impl Bearer) -> Vec<String> {
        let answer = self.world.get(path, who).await.assert_status(200);
        let rows = answer.body[plural].as_array().unwrap();
        assert_eq!(answer.body["total"], rows.len());
        assert_eq!(answer.body["next_cursor"], Value::Null);
        let before = |row: &Value| row["runner_name"].as_str().unwrap().split('-').next().unwrap().to_owned();
        rows.iter().map(before).collect()
    }

    async fn audited(&self, kind: &str) -> i64 {
        let sql = "SELECT count(*) FROM audit_log WHERE event_type = $1 AND success AND user_id = $2
             AND user_identity = 'root@example.com' AND request_id IS NOT NULL";
        let pool = self.world.sql();
        sqlx::query_scalar(sql).bind(kind).bind(self.root.id.uuid()).fetch_one(pool).await.unwrap()
    }
}

#[tokio::test]
async fn lists_show_ones_own_and_ones_teams() {
    let scene = scene().await;
    let stranger = scene.world.user("eve", &[]).await;
    for (path, plural) in [("/runners", "runners"), ("/jobs", "jobs"), ("/audit-logs", "logs")] {
        assert_eq!(scene.names(path, plural, &scene.ada).await, ["ci", "ada"], "{path}");
        assert_eq!(scene.names(path, plural, &scene.ci).await, ["ci", "ada"], "{path}");
        assert_eq!(scene.names(path, plural, &scene.nightly).await, ["nightly", "bob"], "{path}");
        assert_eq!(scene.names(path, plural, &scene.root).await, ["nightly", "bob", "ci", "ada"], "{path}");
        assert!(scene.names(path, plural, &stranger).await.is_empty(), "{path}");
        let foreign = format!("{path}?team={}", scene.blue.id);
        assert!(scene.names(&foreign, plural, &scene.ada).await.is_empty(), "{path}");
        assert_eq!(scene.names(&foreign, plural, &scene.root).await, ["nightly", "bob"], "{path}");
    }
}

#[tokio::test]
async fn former_members_see_only_their_own_jobs() {
    let scene = scene().await;
    let path = format!("/admin/teams/{}/members/{}", scene.red.id, scene.ada.id);
    scene.world.delete(&path, &scene.root).await.assert_status(204);
    assert_eq!(scene.names("/runners", "runners", &scene.ada).await, ["ada"]);
    assert_eq!(scene.names("/jobs", "jobs", &scene.ada).await, ["ada"]);
    scene.world.jit(&scene.ada, &provision_body("x")).await.refused(403, "team_forbidden");
}

#[tokio::test]
async fn foreign_resources_are_not_found() {
    let scene = scene().await;
    let world = &scene.world;
    let jobs = world.get("/jobs", &scene.bob).await.assert_status(200).body;
    let (job, runner) =
        (jobs["jobs"][1]["job_id"].as_str().unwrap(), jobs["jobs"][1]["runner_id"].as_str().unwrap());
    let paths = [
        ("GET", format!("/jobs/{job}")),
        ("GET", format!("/jobs/{job}/events")),
        ("DELETE", format!("/jobs/{job}")),
        ("POST", format!("/jobs/{job}/credential")),
        ("GET", format!("/runners/{runner}")),
    ];
    let nobody = Uuid::now_v7().to_string();
    for (method, path) in &paths {
        for who in [&scene.ada.token, &scene.ci.token] {
            let foreign = world.ask(method, path).by(who).send().await.refused(404, "not_found");
            let none = path.replace(job, &nobody).replace(runner, &nobody);
            let unknown = world.ask(method, &none).by(who).send().await.refused(404, "not_found");
            assert_eq!(foreign.body, unknown.body, "{method} {path}");
        }
        world.ask(method, path).by(&Anyone).send().await.refused(401, "unauthenticated");
    }
    for path in [format!("/jobs/{job}"), format!("/runners/{runner}")] {
        world.get(&path, &scene.root).await.assert_status(200);
        world.get(&path, &scene.nightly).await.assert_status(200);
    }
}

#[tokio::test]
async fn every_caller_can_read_its_own_identity() {
    let scene = scene().await;
    let me = scene.world.get("/auth/me", &scene.ada).await.assert_status(200).body;
    let red = json!([{ "id": scene.red.id, "name": "red", "is_active": true }]);
    assert_eq!(
        me,
        json!({ "kind": "user", "id": scene.ada.id, "identity": "ada@example.com", "display_name": null,
            "user_id": scene.ada.id, "email": "ada@example.com", "oidc_sub": "ada", "roles": ["member"],
            "is_admin": false, "can_use_jit": true, "can_use_registration_token": false, "teams": red })
    );
    let me = scene.world.get("/auth/me", &scene.ci).await.assert_status(200).body;
    assert_eq!((me["kind"].as_str(), me["identity"].as_str()), (Some("client"), Some("ci")));
    assert_eq!(me["teams"], red);

    let policy = scene.world.get("/auth/my-label-policy", &scene.ada).await.assert_status(200).body;
    assert_eq!(policy["required_labels"], json!(["team-red"]));
    assert_eq!(policy["allowed_runner_group_ids"], json!([1]));
    assert_eq!(policy["active_runner_count"], 2);
    let foreign = format!("/auth/my-label-policy?team_id={}", scene.blue.id);
    scene.world.get(&foreign, &scene.ada).await.refused(403, "team_forbidden");

    let teams = scene.world.get("/teams/my-teams", &scene.ada).await.assert_status(200).body;
    assert_eq!((&teams["total"], &teams["teams"][0]["name"]), (&json!(1), &json!("red")));
    assert_eq!(teams["teams"][0]["member_count"], 1);
    assert_eq!(scene.world.get("/teams/my-teams", &scene.root).await.assert_status(200).body["total"], 0);
}

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
    let nobody = world.user("eve", &[]).await;
    assert_eq!(world.get("/admin/teams", &nobody).await.assert_status(200).body["total"], 0);
}

#[tokio::test]
async fn members_come_and_go() {
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
async fn a_team_patch_changes_only_the_given_fields() {
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

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let mut newest_first = Vec::new();
    for _ in 0..7 {
        newest_first.insert(0, world.provision(&ada, provision_body("ci")).await.job.to_string());
    }
    let ids = |page: &Value| -> Vec<String> {
        page["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["job_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (mut seen, mut path) = (Vec::new(), "/jobs?limit=3".to_owned());
    loop {
        let page = world.get(&path, &ada).await.assert_status(200).body;
        assert_eq!(page["total"], 7);
        seen.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/jobs?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, newest_first);
    for (query, wanted) in
        [("limit=2&offset=5", &newest_first[5..]), ("offset=6", &newest_first[6..]), ("offset=7", &[])]
    {
        let page = world.get(&format!("/jobs?{query}"), &ada).await.assert_status(200).body;
        assert_eq!(ids(&page), wanted, "{query}");
        assert_eq!(page["total"], 7);
    }
    let filtered = world.get("/jobs?state=succeeded", &ada).await.assert_status(200).body;
    assert_eq!(filtered["total"], 0);
    let cancelled = &newest_first[0];
    world.delete(&format!("/jobs/{cancelled}"), &ada).await.assert_status(200);
    let filtered = world.get("/jobs?state=cancelled&kind=provision", &ada).await.assert_status(200).body;
    assert_eq!(ids(&filtered), [cancelled.as_str()]);
    assert_eq!(world.get("/runners", &ada).await.assert_status(200).body["total"], 6);
    assert_eq!(world.get("/runners?status=deleted", &ada).await.assert_status(200).body["total"], 1);
}

#[tokio::test]
async fn an_address_counts_only_as_far_as_it_comes_from_our_own_proxies() {
    let cases = [
        ("", "203.0.113.7", "127.0.0.1"),
        ("192.0.2.0/24", "203.0.113.7", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.66, 203.0.113.7", "203.0.113.7"),
        ("127.0.0.1, 10.0.0.0/8", "198.51.100.66, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("127.0.0.1", "203.0.113.7, nonsense", "127.0.0.1"),
    ];
    for (proxies, forwarded, wanted) in cases {
        let world = World::builder().workers(0).proxies(proxies).start().await;
        let red = world.team(team_draft("red")).await;
        let ada = world.user("ada", &[&red]).await;
        let ask = world.ask("POST", "/runners/jit").by(&ada).header("x-forwarded-for", forwarded);
        let ask = ask.header("user-agent", "a pipeline").header("x-request-id", "request-7");
        ask.json(&provision_body("ci")).send().await.assert_status(202);
        let row = world.get("/audit-logs", &ada).await.assert_status(200).body["logs"][0].clone();
        assert_eq!(row["request_ip"], wanted, "{forwarded} through {proxies}");
        assert_eq!(row["user_agent"], "a pipeline");
        assert_eq!(row["event_data"]["client_request_id"], "request-7");
        assert_ne!(row["request_id"], "request-7", "what a client chooses names no request of ours");
        assert_eq!((&row["user_identity"], &row["team_name"]), (&json!("ada@example.com"), &json!("red")));
        assert_eq!((&row["success"], &row["error_message"]), (&json!(true), &Value::Null));
    }
}
