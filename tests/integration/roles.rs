//! Viewers, who see everything and change nothing, and machine clients of a deactivated team.

use harness::{Person, World, provision_body, team_draft};
use serde_json::{Value, json};

async fn world_with_viewer() -> (World, Person, Person, Person) {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, vera, root) =
        (world.user("ada", &[&red]).await, world.user("vera", &[]).await, world.admin().await);
    let path = format!("/admin/users/{}", vera.id);
    let made = world.patch(&path, &root, &json!({ "is_viewer": true })).await.assert_status(200).body;
    assert_eq!(made["is_viewer"], true);
    (world, ada, vera, root)
}

#[tokio::test]
async fn repeated_refusals_share_one_row() {
    let (world, ada, _, root) = world_with_viewer().await;
    let eve = world.user("eve", &[]).await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;
    for _ in 0..10 {
        world.credential(&eve, asked.job).await.refused(404, "not_found");
    }
    let events =
        world.get("/admin/security-events?event_type=credential_denied", &root).await.assert_status(200).body;
    let events = events["events"].as_array().unwrap();
    // A minute may end in between.
    assert!(events.len() <= 2, "{events:?}");
    let times: i64 = events.iter().map(|event| event["occurrences"].as_i64().unwrap()).sum();
    assert_eq!(times, 10);
    assert!(events.iter().all(|event| event["user_identity"] == "eve@example.com"), "{events:?}");
    let rows = "SELECT count(*) FROM audit_log WHERE event_type = 'credential.fetch' AND team_id IS NULL";
    assert!((1..=2).contains(&world.count(rows).await));
    // Existing and missing resources look alike, however often a caller tries.
    for _ in 0..80 {
        world.credential(&eve, asked.job).await.refused(404, "not_found");
    }
}

/// Returns the paths of the API description that can be read without an id.
fn lists() -> Vec<String> {
    let description: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let paths = description["paths"].as_object().unwrap().iter();
    let read = paths.filter(|(path, calls)| {
        path.starts_with("/api/v1/") && !path.contains('{') && calls["get"].is_object()
    });
    read.map(|(path, _)| path.trim_start_matches("/api/v1").to_owned()).collect()
}

#[tokio::test]
async fn viewer_reads_everything() {
    let (world, ada, vera, _) = world_with_viewer().await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;
    let paths = lists();
    assert!(paths.iter().filter(|path| path.starts_with("/admin/")).count() >= 8, "{paths:?}");
    for path in paths.iter().filter(|path| *path != "/auth/my-label-policy") {
        world.get(path, &vera).await.assert_status(200);
    }
    for path in [format!("/runners/{}", asked.runner), format!("/jobs/{}", asked.job)] {
        world.get(&path, &vera).await.assert_status(200);
    }
    assert_eq!(world.get("/runners", &vera).await.assert_status(200).body["total"], 1);
    assert_eq!(world.get("/auth/me", &vera).await.assert_status(200).body["roles"], json!(["viewer"]));
    let red = world.get("/admin/teams", &vera).await.assert_status(200).body["teams"][0]["id"].clone();
    let team = format!("/admin/teams/{}", red.as_str().unwrap());
    world.get(&team, &vera).await.assert_status(200);
    world.get(&format!("{team}/members"), &vera).await.assert_status(200);
}

#[tokio::test]
async fn viewer_changes_nothing_and_gets_no_config() {
    let (world, ada, vera, root) = world_with_viewer().await;
    let asked = world.provision(&ada, provision_body("ci")).await;
    world.until_final(&ada, asked.job).await;
    let user = format!("/admin/users/{}", ada.id);
    for (method, path, body) in [
        ("POST", "/runners/jit".to_owned(), provision_body("ci")),
        ("POST", format!("/jobs/{}/credential", asked.job), json!({})),
        ("DELETE", format!("/jobs/{}", asked.job), json!({})),
        ("DELETE", format!("/runners/{}", asked.runner), json!({})),
        ("POST", format!("/runners/{}/refresh", asked.runner), json!({})),
        ("PATCH", user.clone(), json!({ "is_admin": true })),
        ("POST", "/admin/teams".to_owned(), json!({ "name": "mine" })),
        ("POST", "/admin/queues/provision/pause".to_owned(), json!({ "seconds": 60 })),
    ] {
        world.ask(method, &path).by(&vera).json(&body).send().await.refused(403, "read_only");
    }
    assert_eq!(world.count("SELECT count(*) FROM credentials WHERE first_read_at IS NOT NULL").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, 1);

    // A user who becomes a viewer loses their queued jobs.
    world.patch(&user, &root, &json!({ "is_viewer": true })).await.assert_status(200);
    world.credential(&ada, asked.job).await.refused(403, "read_only");
    assert_eq!(world.count("SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL").await, 0);
}

#[tokio::test]
async fn machine_client_of_a_deactivated_team_reads_only_its_identity() {
    let world = World::start().await;
    let red = world.team(team_draft("red")).await;
    let (ci, root) = (world.machine("ci", &red).await, world.admin().await);
    let asked = world.provision(&ci, provision_body("ci")).await;
    world.until_final(&ci, asked.job).await;
    let team = format!("/admin/teams/{}", red.id);
    world.post(&format!("{team}/deactivate"), &root, &json!({ "reason": "breach" })).await.assert_status(200);
    for (method, path) in [
        ("GET", "/runners".to_owned()),
        ("GET", "/jobs".to_owned()),
        ("GET", "/audit-logs".to_owned()),
        ("GET", "/teams/my-teams".to_owned()),
        ("GET", "/auth/my-label-policy".to_owned()),
        ("GET", format!("/jobs/{}", asked.job)),
        ("GET", format!("/jobs/{}/events", asked.job)),
        ("POST", format!("/jobs/{}/credential", asked.job)),
        ("GET", format!("/runners/{}", asked.runner)),
        ("DELETE", format!("/runners/{}", asked.runner)),
    ] {
        let refused = world.ask(method, &path).by(&ci).send().await.refused(403, "team_inactive");
        assert!(refused.body["detail"].as_str().unwrap().contains("breach"), "{path}");
    }
    let me = world.get("/auth/me", &ci).await.assert_status(200).body;
    assert_eq!((&me["identity"], &me["teams"][0]["is_active"]), (&json!("ci"), &json!(false)));
    world.ask("POST", &format!("{team}/reactivate")).by(&root).send().await.assert_status(200);
    world.get("/runners", &ci).await.assert_status(200);
}
