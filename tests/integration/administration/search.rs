//! Searches and filters by person and period.

use harness::{provision_body, team_draft};
use serde_json::json;
use uuid::Uuid;

use super::{Scene, scene};

async fn scene_with_runners() -> Scene {
    let scene = scene().await;
    let world = &scene.world;
    let blue = world.team(team_draft("blue")).await;
    let (bob, ci) = (world.user("bob", &[&blue]).await, world.machine("nightly", &scene.red).await);
    for (who, name, label) in [
        (&scene.ada.token, "web-1", "gpu-large"),
        (&bob.token, "web_2", "gpu-small"),
        (&ci.token, "db-1", "gpu-large"),
    ] {
        let body = json!({ "runner_name": name, "labels": [label] });
        world.jit(who, &body).await.assert_status(202);
    }
    scene
}

#[tokio::test]
async fn runners_are_found_by_name_label_and_person() {
    let scene = scene_with_runners().await;
    for (q, found) in [
        ("web", vec!["web-1", "web_2"]),
        ("WEB-", vec!["web-1"]),
        ("web_", vec!["web_2"]),
        ("%25", vec![]),
        ("Gpu-Large", vec!["db-1", "web-1"]),
        ("gpu", vec![]),
        ("team-blue", vec!["web_2"]),
        ("ada@", vec!["web-1"]),
        ("nightly", vec!["db-1"]),
        ("1", vec![]),
    ] {
        let listed = scene.listed(&format!("/runners?q={q}"), "runners", "runner_name").await;
        assert_eq!(listed, found, "{q}");
    }
    // A search shows nothing that its caller may not see.
    let own = scene.world.get("/runners?q=web", &scene.ada).await.assert_status(200).body;
    assert_eq!((&own["total"], &own["runners"][0]["runner_name"]), (&json!(1), &json!("web-1")));
    let none = scene.world.get("/runners?q=bob@example.com", &scene.ada).await.assert_status(200).body;
    assert_eq!(none["total"], 0);
}

#[tokio::test]
async fn lists_are_filtered_by_person_and_period() {
    let scene = &scene_with_runners().await;
    let subject = format!("{}%23bob", scene.world.issuer().url());
    let id = scene.ada.id.to_string();
    for (user, name) in [
        ("ADA@example.com", "web-1"),
        (id.as_str(), "web-1"),
        (subject.as_str(), "web_2"),
        ("nightly", "db-1"),
    ] {
        for (path, plural) in [("/runners", "runners"), ("/jobs", "jobs")] {
            for parameter in ["user", "user_identity"] {
                let path = format!("{path}?{parameter}={user}");
                assert_eq!(scene.listed(&path, plural, "runner_name").await, [name], "{path}");
            }
        }
    }
    for (path, plural) in [("/runners", "runners"), ("/jobs", "jobs"), ("/audit-logs", "logs")] {
        let total = |filter: &str| {
            let path = format!("{path}?{filter}");
            async move { scene.get(&path).await["total"].as_i64().unwrap() }
        };
        assert_eq!(total("user=stranger@example.com").await, 0, "{path}");
        assert_eq!(total("until=2026-01-01T00:00:00Z").await, 0, "{path}");
        assert_eq!(total("since=2099-01-01T00:00:00Z").await, 0, "{path}");
        let all = scene.get(path).await[plural].as_array().unwrap().len();
        let period = total("since=2026-01-01T00:00:00Z&until=2099-01-01T00:00:00Z").await;
        assert_eq!(usize::try_from(period).unwrap(), all, "{path}");
        let backwards = format!("{path}?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z");
        let refused = scene.world.get(&backwards, &scene.root).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["query:until"]);
    }
}

#[tokio::test]
async fn history_is_found_by_runner_person_id_and_code() {
    let scene = scene_with_runners().await;
    let world = &scene.world;
    let jobs = scene.get("/jobs?q=web-1").await;
    let job: Uuid = jobs["jobs"][0]["job_id"].as_str().unwrap().parse().unwrap();
    let failed = "UPDATE jobs SET state = 'failed', finished_at = now(),
        error = '{\"code\": \"github_refused\", \"detail\": \"no\"}' WHERE id = $1";
    world.change(failed, job).await;
    for (q, found) in [
        ("WEB", vec!["web-1", "web_2"]),
        ("ada@", vec!["web-1"]),
        ("nightly", vec!["db-1"]),
        (&job.to_string(), vec!["web-1"]),
        ("github_refused", vec!["web-1"]),
        ("b-1", vec![]),
        ("%25", vec![]),
    ] {
        assert_eq!(scene.listed(&format!("/jobs?q={q}"), "jobs", "runner_name").await, found, "{q}");
    }
    for (q, rows) in [("web", 2), ("bob@example.com", 1), ("runner.provision", 3), ("nobody", 0)] {
        let found = scene.listed(&format!("/audit-logs?q={q}"), "logs", "event_type").await;
        assert_eq!(found, vec!["runner.provision"; rows], "{q}");
    }
    let body = json!({ "runner_name": "web-3", "labels": ["forbidden"] });
    world.jit(&scene.ada, &body).await.refused(403, "label_policy_violation");
    for (q, rows) in [("ADA@", 1), ("label_policy_violation", 1), ("bob@", 0)] {
        let found = scene.listed(&format!("/admin/security-events?q={q}"), "events", "event_type").await;
        assert_eq!(found, vec!["label_policy_violation"; rows], "{q}");
    }
    // A search shows nothing that its caller may not see.
    for (path, rows) in
        [("/jobs?q=web", 1), ("/jobs?q=bob@", 0), ("/audit-logs?q=nightly", 1), ("/audit-logs?q=bob@", 0)]
    {
        assert_eq!(world.get(path, &scene.ada).await.assert_status(200).body["total"], rows, "{path}");
    }
    let long = "x".repeat(101);
    for path in ["/jobs", "/audit-logs", "/admin/security-events"] {
        let refused = world.get(&format!("{path}?q={long}"), &scene.root).await;
        assert_eq!(refused.refused(422, "validation_failed").pointers(), ["query:q"], "{path}");
    }
}

#[tokio::test]
async fn people_teams_and_clients_are_found_by_a_part_of_their_names() {
    let scene = scene_with_runners().await;
    let (world, root) = (&scene.world, &scene.root);
    let user = json!({ "email": "grace@example.com", "display_name": "Grace Hopper" });
    world.post("/admin/users", root, &user).await.assert_status(201);
    let user = json!({ "email": "ase@example.com", "display_name": "Åse Ørsted" });
    world.post("/admin/users", root, &user).await.assert_status(201);
    let path = format!("/admin/teams/{}", scene.red.id);
    world.patch(&path, root, &json!({ "description": "Payments" })).await.assert_status(200);
    for (path, plural, member, found) in [
        ("/admin/users?q=hopp", "users", "email", vec!["grace@example.com"]),
        ("/admin/users?q=ADA", "users", "email", vec!["ada@example.com"]),
        ("/admin/users?q=_", "users", "email", vec![]),
        ("/admin/users?q=Åse", "users", "email", vec!["ase@example.com"]),
        ("/admin/users?q=ØRSTED", "users", "email", vec!["ase@example.com"]),
        ("/admin/teams?q=paym", "teams", "name", vec!["red"]),
        ("/admin/teams?q=lu", "teams", "name", vec!["blue"]),
        ("/admin/oauth-clients?q=night", "clients", "client_id", vec!["nightly"]),
        ("/admin/oauth-clients?q=day", "clients", "client_id", vec![]),
    ] {
        assert_eq!(scene.listed(path, plural, member).await, found, "{path}");
    }
    let own = world.get("/admin/teams?q=blue", &scene.ada).await.assert_status(200).body;
    assert_eq!(own["total"], 0);
    let long = "x".repeat(101);
    for path in ["/runners", "/admin/users", "/admin/teams", "/admin/oauth-clients"] {
        let refused = world.get(&format!("{path}?q={long}"), root).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["query:q"], "{path}");
    }
}

#[tokio::test]
async fn several_machine_clients_of_a_team_act_at_once() {
    let scene = scene().await;
    let (world, root) = (&scene.world, &scene.root);
    let old = world.machine("ci-2025", &scene.red).await;
    let new = world.machine("ci-2026", &scene.red).await;
    for ci in [&old, &new] {
        world.jit(ci, &provision_body("ci")).await.assert_status(202);
    }
    let used = scene.get(&format!("/admin/oauth-clients/{}", old.id)).await;
    assert!(used["last_used_at"].is_string(), "{used}");
    let path = format!("/admin/oauth-clients/{}", old.id);
    world.delete(&path, root).await.assert_status(204);
    world.jit(&old, &provision_body("ci")).await.refused(403, "unknown_principal");
    world.jit(&new, &provision_body("ci")).await.assert_status(202);
}
