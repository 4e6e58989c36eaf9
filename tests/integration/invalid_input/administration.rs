//! Invalid requests of admins.

use serde_json::json;
use uuid::Uuid;

use super::scene;

#[tokio::test]
async fn invalid_requests_of_admins_are_refused() {
    let scene = scene().await;
    let long = "x".repeat(101);
    let cases = [
        ("/admin/teams", json!({}), ""),
        ("/admin/teams", json!({ "name": "" }), "/name"),
        ("/admin/teams", json!({ "name": long }), "/name"),
        ("/admin/teams", json!({ "name": "a\u{7}" }), "/name"),
        ("/admin/teams", json!({ "name": "a", "max_runners": -1 }), "/max_runners"),
        ("/admin/teams", json!({ "name": "a", "max_runners": 1e12 }), "/max_runners"),
        ("/admin/teams", json!({ "name": "a", "weight": 0 }), "/weight"),
        ("/admin/teams", json!({ "name": "a", "weight": 101 }), "/weight"),
        ("/admin/teams", json!({ "name": "a", "drift_response": "explode" }), "/drift_response"),
        ("/admin/teams", json!({ "name": "a", "installation": "Nowhere!" }), "/installation"),
        ("/admin/teams", json!({ "name": "a", "installation": "nowhere" }), "/installation"),
        (
            "/admin/teams",
            json!({ "name": "a", "optional_label_patterns": ["("] }),
            "/optional_label_patterns/0",
        ),
        (
            "/admin/teams",
            json!({ "name": "a", "optional_label_patterns": ["a{1000}{1000}"] }),
            "/optional_label_patterns/0",
        ),
        ("/admin/teams", json!({ "name": "a", "required_labels": ["a,b"] }), "/required_labels/0"),
        (
            "/admin/teams",
            json!({ "name": "a", "allowed_runner_group_ids": [0] }),
            "/allowed_runner_group_ids",
        ),
        ("/admin/teams", json!({ "name": "a", "colour": "red" }), "/colour"),
        ("/admin/users", json!({}), "/email"),
        ("/admin/users", json!({ "email": "nobody" }), "/email"),
        ("/admin/users", json!({ "email": "a@b\n.example" }), "/email"),
        ("/admin/users", json!({ "oidc_sub": "x", "issuer": "https://elsewhere.example" }), "/issuer"),
        ("/admin/users", json!({ "oidc_sub": "", "issuer": "https://x" }), "/oidc_sub"),
        ("/admin/oauth-clients", json!({ "client_id": "x", "team_id": Uuid::nil() }), "/team_id"),
        ("/admin/oauth-clients", json!({ "client_id": "", "team_id": Uuid::nil() }), "/client_id"),
        (
            "/admin/oauth-clients",
            json!({ "client_id": "x", "team_id": Uuid::nil(), "rule": { "subject": "" } }),
            "/rule",
        ),
    ];
    for (path, body, pointer) in cases {
        let answer = scene
            .assert_refused(
                scene.world.ask("POST", path).by(&scene.root).json(&body),
                422,
                "validation_failed",
            )
            .await;
        assert!(answer.pointers().contains(&pointer), "{path} {body}: {}", answer.text);
    }
    scene.assert_nothing_written().await;
}
