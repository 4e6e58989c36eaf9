//! Export of the audit log by API and command line.

use std::os::unix::fs::PermissionsExt;

use harness::{ApiResponse, Person, World, team_draft};
use serde_json::{Value, json};

struct Scene {
    world: World,
    root: Person,
    vera: Person,
}

impl Scene {
    /// Makes a log of more rows than one read returns.
    async fn new() -> Self {
        let world = World::builder().workers(0).start().await;
        let (root, vera) = (world.admin().await, world.user("vera", &[]).await);
        let path = format!("/admin/users/{}", vera.id);
        world.patch(&path, &root, &json!({ "is_viewer": true })).await.assert_status(200);
        let rows = "INSERT INTO audit_log (id, event_type, success, user_agent, event_data)
            SELECT gen_random_uuid(), CASE n % 5 WHEN 0 THEN 'lane.pause' ELSE 'runner.refresh' END, true,
                CASE n WHEN 7 THEN '=1+1' ELSE 'curl, \"7\"' END, jsonb_build_object('n', n)
            FROM generate_series(1, 2500) n";
        sqlx::query(rows).execute(world.sql()).await.unwrap();
        Self { world, root, vera }
    }

    async fn export(&self, query: &str) -> ApiResponse {
        self.world.get(&format!("/admin/audit-logs/export{query}"), &self.vera).await.assert_status(200)
    }
}

#[tokio::test]
async fn viewer_exports_every_row_in_each_form() {
    let scene = Scene::new().await;
    let json = scene.export("").await;
    assert_eq!(json.header("content-type"), "application/json");
    assert_eq!(json.header("content-disposition"), "attachment; filename=\"audit-log.json\"");
    let rows = json.body.as_array().unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(rows.len() > 2500 && ids.is_sorted_by(|a, b| a > b), "{}", rows.len());
    assert_eq!(rows.iter().filter(|row| row["event_data"]["n"].is_u64()).count(), 2500);

    let lines = scene.export("?format=jsonl&event_type=lane.pause").await;
    let lines: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 500);
    assert!(lines.iter().all(|line| line["event_type"] == "lane.pause"));

    let csv = scene.export("?format=csv&event_type=runner.refresh").await;
    assert!(csv.header("content-type").starts_with("text/csv"), "{}", csv.header("content-type"));
    let lines: Vec<&str> = csv.text.split_terminator("\r\n").collect();
    assert!(lines.len() == 2001 && lines[0].starts_with("id,timestamp,event_type"), "{}", lines.len());
    assert!(csv.text.contains("\"curl, \"\"7\"\"\"") && csv.text.contains(",'=1+1,"));

    let written = "SELECT count(*) FROM audit_log WHERE event_type = 'audit.export' AND success
        AND user_identity = 'vera@example.com'";
    assert_eq!(scene.world.count(written).await, 3);
}

#[tokio::test]
async fn exports_are_refused_to_members_and_for_invalid_filters() {
    let scene = Scene::new().await;
    let red = scene.world.team(team_draft("red")).await;
    let ada = scene.world.user("ada", &[&red]).await;
    scene.world.get("/admin/audit-logs/export", &ada).await.refused(403, "admin_required");
    for (query, pointer) in
        [("format=xml", "query:format"), ("since=yesterday", "query:since"), ("limit=5", "query:limit")]
    {
        let path = format!("/admin/audit-logs/export?{query}");
        let refused = scene.world.get(&path, &scene.root).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer], "{}", refused.text);
    }
    let written = "SELECT count(*) FROM audit_log WHERE event_type = 'audit.export'";
    assert_eq!(scene.world.count(written).await, 0);
}

#[tokio::test]
async fn command_writes_each_form_to_a_private_file() {
    let scene = Scene::new().await;
    for (format, lines) in [("csv", 501), ("jsonl", 500), ("json", 502)] {
        let name = format!("log.{format}");
        let words = ["export-audit-log", "--file", &name, "--format", format, "--event-type", "lane.pause"];
        let said = scene.world.command(&words, &[]).await.expect(0);
        assert_eq!(said.stderr, format!("500 rows in {name}\n"));
        let path = scene.world.folder().join(&name);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), lines, "{format}");
        scene.world.command(&words, &[]).await.expect(1);
    }
    scene.world.command(&["export-audit-log", "--file", "x", "--format", "xml"], &[]).await.expect(2);
}
