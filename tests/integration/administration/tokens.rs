//! Tests of tokens.

use harness::Person;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, scene};

/// Counts everything that a test of a token might write.
const ROWS: &str = "SELECT (SELECT count(*) FROM audit_log) + (SELECT count(*) FROM security_events)
    + (SELECT count(*) FROM users WHERE subject IS NOT NULL) + (SELECT count(*) FROM users WHERE last_login_at IS NOT NULL)
    + (SELECT count(*) FROM oauth_clients WHERE last_used_at IS NOT NULL)";

impl Scene {
    async fn add_rule(&self, name: &str, subject: &str, claims: &Value) -> String {
        let body = json!({ "client_id": name, "team_id": self.red.id,
            "rule": { "subject": subject, "claims": claims } });
        let made = self.world.post("/admin/oauth-clients", &self.root, &body).await.assert_status(201).body;
        made["id"].as_str().unwrap().to_owned()
    }

    async fn test_token(&self, body: &Value) -> Value {
        let path = "/admin/oauth-clients/test-token";
        let answer = self.world.post(path, &self.root, body).await.assert_status(200);
        assert!(!answer.text.contains(body["token"].as_str().unwrap()), "the token comes back");
        answer.body
    }

    fn pipeline_token(&self) -> String {
        self.world.token(&json!({ "sub": "repo:acme/web:ref:refs/heads/main", "repository_id": "7",
            "repository": "acme/web", "ref": "refs/heads/main", "run_id": "1001" }))
    }
}

#[tokio::test]
async fn token_of_a_pipeline_names_its_client_claims_and_rule() {
    let scene = scene().await;
    let id = scene.add_rule("deploy", "repo:acme/web:*", &json!({ "repository_id": "7" })).await;
    let token = scene.pipeline_token();
    let before = scene.world.count(ROWS).await;
    let tested = scene.test_token(&json!({ "token": token, "compare_with": id })).await;
    assert_eq!((&tested["outcome"], &tested["clients"][0]["id"]), (&json!("machine_client"), &json!(id)));
    assert_eq!(tested["subject"], "repo:acme/web:ref:refs/heads/main");
    assert_eq!(tested["claims"]["repository_id"], "7");
    assert_eq!((&tested["is_personal"], &tested["user"]), (&json!(false), &Value::Null));
    let comparison = &tested["comparison"];
    assert_eq!((&comparison["fits"], &comparison["subject_fits"]), (&json!(true), &json!(true)));
    let wanted = json!([{ "name": "repository_id", "wanted": "7", "found": "7", "fits": true }]);
    assert_eq!(comparison["claims"], wanted);
    assert_eq!(scene.world.count(ROWS).await, before);
}

#[tokio::test]
async fn rule_that_does_not_match_says_which_part() {
    let scene = scene().await;
    let claims = json!({ "repository_id": "8", "environment": "prod" });
    let id = scene.add_rule("deploy", "repo:acme/api:*", &claims).await;
    let body = json!({ "token": scene.pipeline_token(), "compare_with": id });
    let tested = scene.test_token(&body).await;
    assert_eq!((&tested["outcome"], &tested["clients"]), (&json!("unknown"), &json!([])));
    assert!(tested["detail"].as_str().unwrap().contains("POST /admin/oauth-clients"), "{tested}");
    let comparison = &tested["comparison"];
    assert_eq!((&comparison["fits"], &comparison["subject_fits"]), (&json!(false), &json!(false)));
    let wanted = json!([
        { "name": "environment", "wanted": "prod", "found": null, "fits": false },
        { "name": "repository_id", "wanted": "8", "found": "7", "fits": false },
    ]);
    assert_eq!(comparison["claims"], wanted);
}

#[tokio::test]
async fn two_matching_rules_are_ambiguous() {
    let scene = scene().await;
    scene.add_rule("broad", "repo:acme/*", &json!({})).await;
    scene.add_rule("narrow", "repo:acme/web:*", &json!({})).await;
    let tested = scene.test_token(&json!({ "token": scene.pipeline_token() })).await;
    assert_eq!((&tested["outcome"], tested["clients"].as_array().unwrap().len()), (&json!("ambiguous"), 2));
    let detail = tested["detail"].as_str().unwrap();
    assert!(detail.contains("`broad`") && detail.contains("`narrow`"), "{detail}");
}

#[tokio::test]
async fn tokens_of_people_and_unreadable_tokens_are_explained() {
    let scene = scene().await;
    let world = &scene.world;
    let eve = json!({ "email": "eve@example.com" });
    world.post("/admin/users", &scene.root, &eve).await.assert_status(201);
    let personal = |sub: &str, email: &str| {
        world.token(&json!({ "sub": sub, "email": email, "email_verified": true, "name": sub }))
    };
    let before = world.count(ROWS).await;
    let Person { token: ada, .. } = &scene.ada;
    for (token, outcome, email) in [
        (ada.clone(), "user", json!("ada@example.com")),
        (personal("eve", "eve@example.com"), "invitation", json!("eve@example.com")),
        (personal("mallory", "mallory@example.com"), "unknown", Value::Null),
        ("no.good.token".to_owned(), "refused", Value::Null),
        (world.token(&json!({ "sub": "x", "aud": "other" })), "refused", Value::Null),
    ] {
        let tested = scene.test_token(&json!({ "token": token })).await;
        assert_eq!((&tested["outcome"], &tested["user"]["email"]), (&json!(outcome), &email), "{tested}");
        assert!(tested["detail"].as_str().unwrap().ends_with('.'), "{tested}");
    }
    assert_eq!(world.count(ROWS).await, before);
}

#[tokio::test]
async fn invalid_tests_are_refused() {
    let scene = scene().await;
    for (body, pointer) in [
        (json!({}), ""),
        (json!({ "token": "" }), "/token"),
        (json!({ "token": "x".repeat(16_385) }), "/token"),
        (json!({ "token": 7 }), "/token"),
        (json!({ "token": scene.ada.token, "compare_with": Uuid::now_v7() }), "/compare_with"),
        (json!({ "token": scene.ada.token, "compare_with": "ci" }), "/compare_with"),
    ] {
        let answer = scene.world.post("/admin/oauth-clients/test-token", &scene.root, &body).await;
        assert_eq!(answer.refused(422, "validation_failed").pointers(), [pointer], "{body}");
    }
}
