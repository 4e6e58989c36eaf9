//! Import of the predecessor's database, with the tables that its last release makes.

use harness::{Database, Output, World, provision_body, team_draft};
use serde_json::{Value, json};
use store::TeamDraft;

const SCHEMA: &str = include_str!("../data/predecessor/schema.sql");
const ROWS: &str = include_str!("../data/predecessor/rows.sql");
const WEB: &str = "11111111-1111-4111-8111-111111111111";

/// A service, and the database of the predecessor.
struct Scene {
    world: World,
    old: Database,
}

impl Scene {
    async fn new() -> Self {
        let scene = Self { world: World::start().await, old: harness::empty().await };
        scene.old_sql(SCHEMA).await;
        scene.old_sql(ROWS).await;
        scene
    }

    async fn old_sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.old.pool()).await.unwrap();
    }

    async fn import(&self, words: &[&str]) -> Output {
        let words = [&["import-predecessor", "--output", "json"], words].concat();
        self.world.command(&words, &[("PREDECESSOR_DATABASE_URL", self.old.url())]).await
    }

    /// Returns the counts of one kind: added, kept, left out.
    fn counts(report: &Value, kind: &str) -> [i64; 3] {
        let kinds = report["kinds"].as_array().unwrap();
        let found = kinds.iter().find(|one| one["kind"] == kind).unwrap();
        ["added", "kept", "left_out"].map(|name| found[name].as_i64().unwrap())
    }

    /// Returns the number of rows of ours that an import may write.
    async fn ours(&self) -> i64 {
        let rows = "SELECT (SELECT count(*) FROM teams) + (SELECT count(*) FROM users) + (SELECT count(*) FROM team_members)
            + (SELECT count(*) FROM oauth_clients) + (SELECT count(*) FROM runners) + (SELECT count(*) FROM audit_log)";
        self.world.count(rows).await
    }
}

#[tokio::test]
async fn dry_run_counts_what_the_import_then_does_once() {
    let scene = Scene::new().await;
    let before = scene.ours().await;
    let planned = scene.import(&["--dry-run"]).await.expect(4);
    assert!(planned.stderr.contains("nothing was changed"), "{}", planned.stderr);
    assert_eq!(scene.ours().await, before);

    let done = scene.import(&[]).await.expect(4);
    assert_eq!(planned.json()["kinds"], done.json()["kinds"]);
    for (kind, counts) in [
        ("teams", [2, 0, 1]),
        ("users", [3, 0, 1]),
        ("memberships", [1, 0, 1]),
        ("machine clients", [1, 0, 0]),
        ("runners", [2, 0, 1]),
        ("audit rows", [2, 0, 0]),
    ] {
        assert_eq!(Scene::counts(&done.json(), kind), counts, "{kind}: {}", done.stdout);
    }
    for why in ["team broken", "user odd@example.com", "membership of nobody", "runner teamless"] {
        assert!(done.stderr.contains(why), "{why}: {}", done.stderr);
    }
    assert!(!done.stderr.contains(scene.old.url()) && !done.stdout.contains(scene.old.url()));

    let after = scene.ours().await;
    let again = scene.import(&[]).await.expect(4);
    assert_eq!(scene.ours().await, after, "{}", again.stdout);
    assert_eq!(Scene::counts(&again.json(), "teams"), [0, 2, 1]);
    let later = "INSERT INTO audit_log (event_type, user_identity, success, timestamp)
        VALUES ('deprovision', 'ada@example.com', true, '2026-04-03')";
    scene.old_sql(later).await;
    let more = scene.import(&[]).await.expect(4);
    assert_eq!(Scene::counts(&more.json(), "audit rows"), [1, 0, 0]);
    scene.old.remove().await;
}

#[tokio::test]
async fn imported_people_pipelines_and_runners_go_on_as_before() {
    let scene = Scene::new().await;
    scene.import(&[]).await.expect(4);
    let world = &scene.world;
    let ada = world.token(&json!({ "sub": "ada" }));
    let me = world.get("/auth/me", &*ada).await.assert_status(200).body;
    assert_eq!(
        (&me["id"], &me["teams"][0]["id"]),
        (&json!("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"), &json!(WEB))
    );
    let runners = world.get("/runners?status=active", &*ada).await.assert_status(200).body;
    assert_eq!(runners["runners"][0]["runner_name"], "web-1");
    assert_eq!(runners["runners"][0]["labels"], json!(["web", "gpu-1"]));

    let wrong = json!({ "runner_name_prefix": "ci", "labels": ["larger"] });
    world.jit(&*ada, &wrong).await.refused(403, "label_policy_violation");
    // Two of two runners were imported.
    world
        .jit(&*ada, &json!({ "runner_name_prefix": "ci", "labels": ["gpu-7"] }))
        .await
        .refused(403, "quota_exceeded");

    let bob = world.token(&json!({ "sub": "b-1", "email": "bob@example.com", "email_verified": true }));
    let me = world.get("/auth/me", &*bob).await.assert_status(200).body;
    assert_eq!((&me["id"], &me["is_admin"]), (&json!("bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"), &json!(true)));
    world.get("/auth/me", &*world.token(&json!({ "sub": "gone" }))).await.refused(403, "inactive");
    let pipeline = world.token(&json!({ "sub": "pipeline@clients", "gty": "client-credentials" }));
    let me = world.get("/auth/me", &*pipeline).await.assert_status(200).body;
    assert_eq!(me["kind"], "client", "{me}");

    let team = format!("/admin/teams/{WEB}");
    world.ask("PATCH", &team).by(&*bob).json(&json!({ "max_runners": 5 })).send().await.assert_status(200);
    world.jit(&*ada, &json!({ "runner_name_prefix": "ci", "labels": ["gpu-7"] })).await.assert_status(202);
    let old =
        world.get("/audit-logs?event_type=predecessor.provision_jit", &*bob).await.assert_status(200).body;
    assert_eq!(old["logs"][0]["event_data"]["timestamp"], "2026-04-01T12:00:00Z", "{old}");
    assert_eq!(old["logs"][0]["event_data"]["details"]["labels"][1], "gpu-1");
    world.command(&["verify-audit-log"], &[]).await.expect(0);
    scene.old.remove().await;
}

#[tokio::test]
async fn names_that_are_here_already_are_kept() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let web = world.team(TeamDraft { name: "web team".to_owned(), ..team_draft("web") }).await;
    let ada = world.user("ada", &[&web]).await;
    let done = scene.import(&[]).await.expect(4);
    assert_eq!(Scene::counts(&done.json(), "teams"), [1, 1, 1]);
    assert_eq!(Scene::counts(&done.json(), "users"), [2, 1, 1]);
    assert_eq!(Scene::counts(&done.json(), "memberships"), [0, 1, 1]);
    let labels: Vec<String> = sqlx::query_scalar("SELECT unnest(required_labels) FROM teams WHERE id = $1")
        .bind(web.id.uuid())
        .fetch_all(world.sql())
        .await
        .unwrap();
    assert_eq!(labels, ["team-web"], "the policy that is here stays");
    world.provision(&ada, provision_body("ci")).await;
    scene.old.remove().await;
}

#[tokio::test]
async fn tables_of_another_release_are_refused_with_a_sentence() {
    let scene = Scene::new().await;
    let before = scene.ours().await;
    for (change, said) in [
        ("ALTER TABLE users ADD COLUMN can_use_registration_token boolean", "`can_use_registration_token`"),
        (
            "ALTER TABLE users DROP COLUMN can_use_registration_token, DROP COLUMN can_use_jit",
            "`can_use_jit`",
        ),
        ("DROP TABLE user_team_memberships", "`user_team_memberships`"),
    ] {
        scene.old_sql("ALTER TABLE users ADD COLUMN IF NOT EXISTS can_use_jit boolean").await;
        scene.old_sql(change).await;
        let refused = scene.import(&[]).await.expect(4);
        assert!(
            refused.stderr.contains(said) && refused.stderr.contains("0.0.6"),
            "{change}: {}",
            refused.stderr
        );
    }
    let sqlite = [("PREDECESSOR_DATABASE_URL", "sqlite:///runner_service.db")];
    let refused = scene.world.command(&["import-predecessor"], &sqlite).await.expect(4);
    assert!(refused.stderr.contains("PostgreSQL"), "{}", refused.stderr);
    let away = [("PREDECESSOR_DATABASE_URL", "postgresql://reader:hush@127.0.0.1:1/gharts")];
    let refused = scene.world.command(&["import-predecessor"], &away).await.expect(3);
    assert!(!refused.stderr.contains("hush"), "{}", refused.stderr);
    assert_eq!(scene.ours().await, before);
    scene.old.remove().await;
}
