//! Calls 16 to 23: security events, the audit log, sync runs and counts.

use serde_json::{Value, json};

use super::{Scene, assert_has, assert_knows, rows, scene};

#[track_caller]
fn assert_event(event: &Value) {
    assert_has(event, &["id", "event_type", "severity", "user_identity", "violation_data", "timestamp"]);
    assert_knows(event, &["runner_id", "runner_name", "action_taken"]);
}

#[track_caller]
fn assert_log(log: &Value) {
    assert_has(log, &["id", "event_type", "user_identity", "oidc_sub", "success", "timestamp"]);
    assert_knows(
        log,
        &["runner_id", "runner_name", "request_ip", "user_agent", "event_data", "error_message"],
    );
}

/// Returns a scene with one runner and one refused request.
async fn scene_with_records() -> Scene {
    let scene = scene().await;
    let (world, ada) = (&scene.world, &scene.ada);
    world.jit(ada, &json!({ "runner_name_prefix": "ci", "labels": ["gpu-1"] })).await.assert_status(201);
    let refused = world.jit(ada, &json!({ "runner_name_prefix": "ci", "labels": ["not-mine"] })).await;
    refused.refused(403, "label_policy_violation");
    scene
}

#[tokio::test]
async fn security_events_are_listed_for_all_and_for_one_team() {
    let scene = scene_with_records().await;
    for filters in [
        // 16
        "event_type=label_policy_violation&severity=medium&limit=50&offset=0",
        // 17
        "user_identity=ada%40example.com&limit=50&offset=0",
    ] {
        let events = scene.get(&format!("/admin/security-events?{filters}")).await;
        assert_event(&rows(&events, "events")[0]);
    }
    // 18, as an admin and as a member of the team
    let path = format!("/admin/teams/{}/security-events", scene.red.id);
    let filters =
        "severity=medium&since=2026-01-01T00:00:00Z&until=2099-01-01T00:00:00.000Z&limit=50&offset=0";
    for who in [&scene.root, &scene.ada] {
        let events = scene.world.get(&format!("{path}?{filters}"), who).await.assert_status(200).body;
        assert_event(&rows(&events, "events")[0]);
    }
    let before = scene.get(&format!("{path}?until=2026-01-01T00:00:00Z")).await;
    assert!(rows(&before, "events").is_empty());
}

#[tokio::test]
async fn audit_log_is_listed_by_type_identity_and_team() {
    let scene = scene_with_records().await;
    for filters in [
        // 19
        "event_type=provision_jit&limit=50&offset=0",
        // 20
        "user_identity=ada%40example.com&team=red&limit=50&offset=0",
    ] {
        let logs = scene.get(&format!("/audit-logs?{filters}")).await;
        rows(&logs, "logs").iter().for_each(assert_log);
        assert_eq!(logs["logs"][0]["oidc_sub"], "ada");
    }
    let own = scene.world.get("/audit-logs?team=red", &scene.ada).await.assert_status(200).body;
    rows(&own, "logs").iter().for_each(assert_log);
}

#[tokio::test]
async fn sync_runs_are_shown_and_triggered() {
    let scene = scene().await;
    // 21
    let status = scene.get("/admin/sync/status").await;
    assert_has(&status, &["enabled"]);
    assert_knows(&status, &["interval_seconds", "last_sync_time", "last_sync_result", "last_sync_error"]);
    // 22
    scene.send("POST", "/admin/sync/trigger").await.assert_status(202);
}

#[tokio::test]
async fn counts_of_the_console_are_there() {
    let scene = scene_with_records().await;
    // 23
    let stats = scene.get("/admin/stats").await;
    for (group, member, count) in [
        ("runners", "total", 1),
        ("runners", "active", 0),
        ("security", "total_events", 1),
        ("security", "critical_events", 0),
        ("teams", "total", 1),
        ("teams", "active", 1),
    ] {
        assert_eq!(stats[group][member], count, "{group} {member}: {stats}");
    }
}
