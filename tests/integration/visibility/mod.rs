//! Visibility of resources to each role, rights of administration, and the addresses recorded for callers.

mod administration;

use harness::{Anyone, Bearer, Machine, Person, Team, World, provision_body, team_draft};
use serde_json::{Value, json};
use uuid::Uuid;

/// Two teams, each with a user and a machine client, and one job of each of the four.
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
    /// Returns the requested prefix of every runner name in a list, newest first, and checks the total.
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
async fn lists_show_own_and_team_resources() {
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
async fn forwarded_address_is_trusted_only_from_configured_proxies() {
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
        assert_ne!(row["request_id"], "request-7", "a client's request id does not replace ours");
        assert_eq!((&row["user_identity"], &row["team_name"]), (&json!("ada@example.com"), &json!("red")));
        assert_eq!((&row["success"], &row["error_message"]), (&json!(true), &Value::Null));
    }
}
