//! Filters of lists, by current and by earlier parameter names.

use domain::{AUDIT_ALIASES, SECURITY_ALIASES};
use harness::{Person, World, provision_body, team_draft};
use serde_json::{Value, json};

struct Scene {
    world: World,
    root: Person,
}

impl Scene {
    async fn start() -> Self {
        let world = World::builder().workers(0).start().await;
        Self { root: world.admin().await, world }
    }

    /// Returns the values of `member` in a list, in alphabetical order.
    async fn listed(&self, path: &str, plural: &str, member: &str) -> Vec<String> {
        let body = self.world.get(path, &self.root).await.assert_status(200).body;
        let rows = body[plural].as_array().unwrap();
        assert_eq!(body["total"], json!(rows.len()), "{path}");
        let mut values: Vec<String> =
            rows.iter().map(|row| row[member].as_str().unwrap_or_default().to_owned()).collect();
        values.sort();
        values
    }
}

#[tokio::test]
async fn inactive_rows_are_left_out_when_asked_for() {
    let scene = Scene::start().await;
    let world = &scene.world;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let ada = world.user("ada", &[&red, &blue]).await;
    let bob = world.user("bob", &[]).await;
    let (one, other) = (world.machine("one", &red).await, world.machine("other", &red).await);
    let path = format!("/admin/users/{}", bob.id);
    world.ask("DELETE", &path).by(&scene.root).send().await.assert_status(204);
    let path = format!("/admin/oauth-clients/{}", other.id);
    world.patch(&path, &scene.root, &json!({ "is_active": false })).await.assert_status(200);
    let path = format!("/admin/teams/{}/deactivate", blue.id);
    world.post(&path, &scene.root, &json!({ "reason": "merged" })).await.assert_status(200);

    for (path, plural, member, active, all) in [
        ("/admin/teams", "teams", "name", vec!["red"], vec!["blue", "red"]),
        ("/admin/oauth-clients", "clients", "client_id", vec!["one"], vec!["one", "other"]),
    ] {
        for only in ["active_only=true", "include_inactive=false", "active_only=true&include_inactive=false"]
        {
            assert_eq!(scene.listed(&format!("{path}?{only}"), plural, member).await, active, "{only}");
        }
        for both in ["", "?include_inactive=true", "?active_only=false", "?include_inactive="] {
            assert_eq!(scene.listed(&format!("{path}{both}"), plural, member).await, all, "{both}");
        }
        let refused = world.get(&format!("{path}?active_only=true&include_inactive=true"), &scene.root).await;
        assert_eq!(refused.refused(422, "validation_failed").pointers(), ["query:include_inactive"]);
    }
    let users = |query: &'static str| scene.listed(query, "users", "id");
    assert_eq!(users("/admin/users?active_only=true").await.len(), 2);
    assert!(!users("/admin/users?include_inactive=false").await.contains(&bob.id.to_string()));
    assert_eq!(users("/admin/users").await.len(), 3);
    let own = world.get("/admin/teams?active_only=true", &ada).await.assert_status(200).body;
    assert_eq!((&own["total"], &own["teams"][0]["name"]), (&json!(1), &json!("red")));
    assert_eq!(one.client_id, "one");
}

#[tokio::test]
async fn team_is_named_by_id_or_name_in_every_filter() {
    let scene = Scene::start().await;
    let world = &scene.world;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let ada = world.user("ada", &[&red, &blue]).await;
    world.machine("ci-red", &red).await;
    world.machine("ci-blue", &blue).await;
    let mut body = provision_body("ci");
    body["team_id"] = json!(red.id);
    world.jit(&ada, &body).await.assert_status(202);
    body["labels"] = json!(["not-mine"]);
    world.jit(&ada, &body).await.refused(403, "label_policy_violation");
    let id = red.id.to_string();
    for named in ["team=red", "team_id=red", &format!("team={id}"), &format!("team_id={id}")] {
        let clients = scene.listed(&format!("/admin/oauth-clients?{named}"), "clients", "client_id").await;
        assert_eq!(clients, ["ci-red"], "{named}");
        for (path, plural) in [
            ("/runners", "runners"),
            ("/jobs", "jobs"),
            ("/admin/security-events", "events"),
            ("/audit-logs?event_type=runner.provision&success=true", "logs"),
        ] {
            let mark = if path.contains('?') { '&' } else { '?' };
            let teams = scene.listed(&format!("{path}{mark}{named}"), plural, "team_id").await;
            assert_eq!(teams, [id.as_str()], "{path} {named}");
        }
        let policy = world.get(&format!("/auth/my-label-policy?{named}"), &ada).await.assert_status(200).body;
        assert_eq!(policy["team_name"], "red", "{named}");
    }
    world.get("/auth/my-label-policy?team=green", &ada).await.refused(403, "team_forbidden");
    world.get("/auth/my-label-policy?team=", &ada).await.refused(422, "team_required");
}

#[tokio::test]
async fn earlier_filter_names_find_current_rows() {
    let scene = Scene::start().await;
    let world = &scene.world;
    let red = world.team(team_draft("red")).await;
    let (ada, eve) = (world.user("ada", &[&red]).await, world.user("eve", &[&red]).await);
    world.jit(&ada, &provision_body("ci")).await.assert_status(202);
    let forbidden = json!({ "runner_name_prefix": "ci", "labels": ["not-mine"] });
    world.jit(&eve, &forbidden).await.refused(403, "label_policy_violation");

    let scene = &scene;
    let logs = |query: String| async move {
        let body =
            scene.world.get(&format!("/audit-logs?{query}"), &scene.root).await.assert_status(200).body;
        body["logs"].as_array().unwrap().clone()
    };
    let logs = &logs;
    let found = |name: &str, success: bool| {
        let query = format!("event_type={name}");
        async move {
            let rows = logs(query).await;
            rows.len() == 1 && rows[0]["event_type"] == "runner.provision" && rows[0]["success"] == success
        }
    };
    assert!(found("provision_jit", true).await && found("provision_jit_failed", false).await);
    assert!(logs("event_type=provision_jit&success=false".to_owned()).await.is_empty());
    let by = format!("event_type=provision_jit_failed&user_identity={}", eve.email);
    assert_eq!(logs(by).await[0]["user_identity"], json!(eve.email));
}

#[tokio::test]
async fn security_events_are_found_by_identity_and_by_old_names() {
    let scene = Scene::start().await;
    let world = &scene.world;
    let red = world.team(team_draft("red")).await;
    let (ada, eve) = (world.user("ada", &[&red]).await, world.user("eve", &[&red]).await);
    let forbidden = json!({ "runner_name_prefix": "ci", "labels": ["not-mine"] });
    for person in [&ada, &eve] {
        world.jit(person, &forbidden).await.refused(403, "label_policy_violation");
    }
    for name in ["user", "user_identity"] {
        let query = format!("/admin/security-events?event_type=label_violation&{name}={}", eve.email);
        assert_eq!(scene.listed(&query, "events", "user_identity").await, [eve.email.as_str()], "{name}");
    }
    let all = scene.listed("/admin/security-events?event_type=label_policy_violation", "events", "id").await;
    assert_eq!(all.len(), 2);
    let none = scene.listed("/admin/security-events?user=nobody@example.com", "events", "id").await;
    assert_eq!(none, Vec::<String>::new());
}

#[test]
fn every_alias_is_documented() {
    let text = include_str!("../../docs/reference/api.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    for (name, event_type, _) in AUDIT_ALIASES.iter().chain(&SECURITY_ALIASES) {
        let (name, event_type) = (format!("`{name}`"), format!("`{event_type}`"));
        let there = rows.iter().any(|row| row.contains(&name) && row.contains(&event_type));
        assert!(there, "docs/reference/api.md has no row for {name} and {event_type}");
    }
}

#[test]
fn lists_describe_their_filters() {
    let description: Value = serde_json::to_value(api::description()).unwrap();
    let names = |path: &str| -> Vec<String> {
        let parameters = description["paths"][path]["get"]["parameters"].as_array().unwrap();
        parameters.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    for path in ["/api/v1/admin/users", "/api/v1/admin/teams", "/api/v1/admin/oauth-clients"] {
        let names = names(path);
        assert!(
            ["active_only", "include_inactive"].iter().all(|name| names.iter().any(|n| n == name)),
            "{path}"
        );
    }
    assert!(names("/api/v1/admin/security-events").contains(&"user".to_owned()));
}
