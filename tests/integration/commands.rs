//! Operator commands of `rts`, run on a world's servers.

use std::path::PathBuf;

use chrono::TimeDelta;
use harness::{Person, World, provision_body, team_draft};
use serde_json::{Value, json};
use uuid::Uuid;

struct Scene {
    world: World,
    ada: Person,
    bob: Person,
    red: Uuid,
}

impl Scene {
    /// Creates Ada and Bob, each with an unused runner.
    async fn new() -> Self {
        let world = World::start().await;
        let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
        let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
        for who in [&ada, &bob] {
            let asked = world.provision(who, provision_body("ci")).await;
            assert_eq!(world.until_final(who, asked.job).await["state"], "succeeded");
        }
        Self { red: red.id.uuid(), world, ada, bob }
    }

    async fn owners(&self, words: &[&str]) -> Vec<String> {
        let words = [&["list-runners", "--output", "json"], words].concat();
        let said = self.world.command(&words, &[]).await.expect(0);
        let rows = said.json();
        let name = |row: &Value| row["provisioned_by"].as_str().unwrap().to_owned();
        rows.as_array().unwrap().iter().map(name).collect()
    }

    /// Marks every runner as offline for `hours`.
    async fn offline(&self, hours: i64) {
        let sql =
            "UPDATE runners SET status = 'offline', offline_since = now() - make_interval(hours => $1::int)";
        sqlx::query(sql).bind(hours).execute(self.world.sql()).await.unwrap();
    }

    async fn removals(&self) -> i64 {
        self.world.count("SELECT count(*) FROM jobs WHERE kind = 'deprovision'").await
    }
}

#[tokio::test]
async fn runners_are_listed_by_state_team_and_person() {
    let scene = Scene::new().await;
    let (ada, bob) = (scene.ada.email.as_str(), scene.bob.email.as_str());
    assert_eq!(scene.owners(&[]).await, [bob, ada]);
    assert_eq!(scene.owners(&["--status", "pending", "--limit", "1"]).await, [bob]);
    assert_eq!(scene.owners(&["--team", &scene.red.to_string()]).await, [ada]);
    assert_eq!(scene.owners(&["--user", "ADA@example.com"]).await, [ada]);
    assert_eq!(scene.owners(&["--user", &scene.bob.id.to_string(), "--status", "pending"]).await, [bob]);
    assert!(scene.owners(&["--status", "offline"]).await.is_empty());

    let table = scene.world.command(&["list-runners", "--user", ada], &[]).await.expect(0);
    assert!(table.stdout.contains("NAME") && table.stdout.contains("pending"), "{}", table.stdout);
    assert_eq!(table.stderr, "1 of 1\n");
    let unknown = scene.world.command(&["list-runners", "--user", "eve@example.com"], &[]).await.expect(4);
    assert!(unknown.stderr.contains("eve@example.com"), "{}", unknown.stderr);
    scene.world.command(&["list-runners", "--status", "gone"], &[]).await.expect(2);
}

#[tokio::test]
async fn requested_sync_is_recorded() {
    let scene = Scene::new().await;
    let said = scene.world.command(&["sync-github"], &[]).await.expect(0);
    assert!(said.stdout.contains("default"), "{}", said.stdout);
    let asked = "SELECT count(*) FROM sync_status WHERE triggered_at IS NOT NULL AND removals_allowed = 0";
    assert_eq!(scene.world.count(asked).await, 1);
    sqlx::query("UPDATE sync_status SET removals_held = 7").execute(scene.world.sql()).await.unwrap();
    scene.world.command(&["sync-github", "--confirm-removals"], &[]).await.expect(0);
    let allowed =
        "SELECT count(*) FROM sync_status WHERE removals_allowed = 7 AND removals_allowed_at IS NOT NULL";
    assert_eq!(scene.world.count(allowed).await, 1);
    let told = "SELECT count(*) FROM audit_log WHERE event_type = 'sync.trigger' AND success";
    assert_eq!(scene.world.count(told).await, 2);
}

#[tokio::test]
async fn stale_runners_are_listed_and_then_removed() {
    let scene = Scene::new().await;
    scene.offline(30).await;
    let clean = |words: &'static [&'static str], changes: &'static [(&str, &str)]| {
        let words = [&["cleanup-stale-runners", "--output", "json"], words].concat();
        let world = &scene.world;
        async move { world.command(&words, changes).await.expect(0) }
    };
    assert_eq!(clean(&["--hours", "48", "--dry-run"], &[]).await.json(), json!([]));
    let would = clean(&["--hours", "24", "--dry-run"], &[]).await;
    assert_eq!((would.json().as_array().unwrap().len(), would.stderr.as_str()), (2, "2 would be removed\n"));
    assert_eq!(clean(&["--dry-run"], &[("CLEANUP_STALE_RUNNERS_HOURS", "31")]).await.json(), json!([]));
    assert_eq!(scene.removals().await, 0, "listing changes nothing");

    let done = clean(&["--hours", "24"], &[]).await;
    assert!(done.stderr.starts_with("2 are being removed"), "{}", done.stderr);
    assert_eq!(scene.removals().await, 2);
    let told = "SELECT count(*) FROM audit_log WHERE event_type = 'runner.deprovision' AND job_id IS NOT NULL
        AND team_id IS NOT NULL AND event_data ->> 'by' = 'rts cleanup-stale-runners'";
    assert_eq!(scene.world.count(told).await, 2);
    harness::wait_until("they go", || async {
        scene.world.count("SELECT count(*) FROM runners WHERE status = 'deleted'").await == 2
    })
    .await;
    scene.world.command(&["cleanup-stale-runners", "--hours", "0"], &[]).await.expect(2);
}

#[tokio::test]
async fn stale_runners_are_removed_later_when_the_queue_is_down() {
    let scene = Scene::new().await;
    scene.offline(30).await;
    let away = [("REDIS_URL", "redis://127.0.0.1:1")];
    let said = scene.world.command(&["cleanup-stale-runners", "--hours", "24"], &away).await.expect(0);
    assert!(said.stderr.contains("once the queue is back"), "{}", said.stderr);
    assert_eq!(scene.removals().await, 2);
    let none = [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")];
    scene.world.command(&["cleanup-stale-runners"], &none).await.expect(3);
    scene.world.command(&["sync-github"], &none).await.expect(3);
    scene.world.command(&["list-runners"], &none).await.expect(3);
}

#[tokio::test]
async fn people_are_listed() {
    let scene = Scene::new().await;
    let said = scene.world.command(&["list-users", "--output", "json"], &[]).await.expect(0).json();
    let emails: Vec<_> = said.as_array().unwrap().iter().map(|row| row["email"].as_str().unwrap()).collect();
    assert_eq!(emails, ["bob@example.com", "ada@example.com"]);
    let table = scene.world.command(&["list-users"], &[]).await.expect(0);
    assert!(table.stdout.contains("ada@example.com"), "{}", table.stdout);
}

#[tokio::test]
async fn audit_log_is_exported_to_a_new_file() {
    let scene = Scene::new().await;
    let file = |name: &str| -> PathBuf { scene.world.folder().join(name) };
    let export = |name: &'static str, words: Vec<String>| {
        let world = &scene.world;
        async move {
            let mut all = vec!["export-audit-log", "--output", name];
            all.extend(words.iter().map(String::as_str));
            world.command(&all, &[]).await
        }
    };
    let read =
        |name: &str| -> Vec<Value> { serde_json::from_slice(&std::fs::read(file(name)).unwrap()).unwrap() };
    export("all.json", vec![]).await.expect(0);
    let count = scene.world.count("SELECT count(*) FROM audit_log").await;
    let all = read("all.json");
    assert_eq!(i64::try_from(all.len()).unwrap(), count);
    assert!(all.windows(2).all(|pair| pair[0]["id"].as_str() > pair[1]["id"].as_str()), "newest first");

    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    export("hers.json", words("--event-type runner.provision --user ada@example.com")).await.expect(0);
    let hers = read("hers.json");
    assert_eq!((hers.len(), &hers[0]["user_identity"]), (1, &json!("ada@example.com")));
    export("one.json", words("--limit 1")).await.expect(0);
    assert_eq!(read("one.json"), all[..1]);
    let tomorrow = (chrono::Utc::now() + TimeDelta::days(1)).to_rfc3339();
    export("none.json", vec!["--since".to_owned(), tomorrow]).await.expect(0);
    assert!(read("none.json").is_empty());
    export("one.json", vec![]).await.expect(1);
    assert_eq!(read("one.json").len(), 1, "nothing is overwritten");
}

#[tokio::test]
async fn every_command_prints_its_usage() {
    let world = World::builder().workers(0).start().await;
    for word in ["sync-github", "list-runners", "cleanup-stale-runners", "list-users", "export-audit-log"] {
        let said = world.command(&[word, "--help"], &[]).await.expect(0);
        assert!(said.stdout.contains(&format!("Examples:\n  rts {word}")), "{}", said.stdout);
    }
    let help = world.command(&["--help"], &[]).await.expect(0).stdout;
    assert!(help.contains("Exit codes:"), "{help}");
}
