//! Invalid documents: every fault is named with its place, and nothing is written.

use harness::ExtraInstallation;
use serde_json::{Value, json};

use super::{changes, scene};

#[tokio::test]
async fn every_invalid_value_is_named_with_its_place() {
    let scene = scene().await;
    let before = scene.rows().await;
    let team = |value: Value| json!({ "teams": [{ "name": "ok" }, value] });
    let person = |value: Value| json!({ "people": [value] });
    for (document, place) in [
        (team(json!({ "name": "Bad Name" })), "/documents/0/teams/1/name"),
        (team(json!({ "name": "ok" })), "/documents/0/teams/1/name"),
        (
            team(json!({ "name": "web", "optional_label_patterns": ["*", "gpu-(a"] })),
            "/documents/0/teams/1/optional_label_patterns/1",
        ),
        (
            team(json!({ "name": "web", "required_labels": ["a b"] })),
            "/documents/0/teams/1/required_labels/0",
        ),
        (team(json!({ "name": "web", "weight": 0 })), "/documents/0/teams/1/weight"),
        (team(json!({ "name": "web", "drift_response": "ignore" })), "/documents/0/teams/1/drift_response"),
        (team(json!({ "name": "web", "installation": "none" })), "/documents/0/teams/1/installation"),
        (team(json!({ "name": "web", "members": ["ghost@example.com"] })), "/documents/0/teams/1/members/0"),
        (team(json!({ "name": "web", "members": ["nobody"] })), "/documents/0/teams/1/members/0"),
        (
            team(json!({ "name": "web", "clients": [{ "client_id": "a", "issuer": "https://evil" }] })),
            "/documents/0/teams/1/clients/0/issuer",
        ),
        (
            team(
                json!({ "name": "web", "clients": [{ "client_id": "a", "rule": { "subject": "repo:*" } }] }),
            ),
            "/documents/0/teams/1/clients/0/rule",
        ),
        (team(json!({ "name": "web", "optional_labels": [] })), "/documents/0/teams/1/optional_labels"),
        (person(json!({ "email": "no-address" })), "/documents/0/people/0/email"),
        (person(json!({ "email": "ada@example.com", "role": "boss" })), "/documents/0/people/0/role"),
        (
            person(json!({ "email": "ada@example.com", "issuer": "https://evil" })),
            "/documents/0/people/0/issuer",
        ),
        (
            person(json!({ "email": "root@example.com", "role": "admin", "oidc_sub": "other" })),
            "/documents/0/people/0/oidc_sub",
        ),
    ] {
        let refused = scene.apply(&document, &json!({})).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [place], "{document}");
    }
    let refused = scene.apply(&team(json!({ "name": "web", "max_runer": 1 })), &json!({})).await;
    assert!(refused.text.contains("did you mean `max_runners`?"), "{}", refused.text);
    let refused =
        scene.apply(&team(json!({ "name": "web", "optional_label_patterns": ["gpu-(a"] })), &json!({})).await;
    assert!(refused.text.contains("at character 5"), "{}", refused.text);
    assert_eq!(scene.rows().await, before);
}

#[tokio::test]
async fn empty_documents_never_mean_everything() {
    let scene = scene().await;
    scene.applied(&json!({ "teams": [{ "name": "web" }] }), &json!({})).await;
    let before = scene.rows().await;
    let refused = scene.apply(&json!({}), &json!({ "prune": true })).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/prune"]);
    let body = json!({ "documents": [], "prune": true });
    let refused =
        scene.world.post("/admin/apply", &scene.root, &body).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/documents"]);
    for (options, pointer) in [
        (json!({ "owner": "" }), "/owner"),
        (json!({ "comment": " " }), "/comment"),
        (json!({ "allow": { "all": true } }), "/allow/all"),
    ] {
        let refused = scene.apply(&json!({}), &options).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer]);
    }
    assert_eq!(scene.rows().await, before);
}

#[tokio::test]
async fn fault_late_in_the_documents_undoes_everything() {
    let scene = scene().await;
    let before = scene.rows().await;
    let body = json!({ "documents": [
        { "teams": [{ "name": "web" }], "people": [{ "email": "ada@example.com" }] },
        { "teams": [{ "name": "games" }, { "name": "WEB" }], "people": [{ "email": "ADA@example.com" }] },
    ] });
    let refused =
        scene.world.post("/admin/apply", &scene.root, &body).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/documents/1/people/0/email", "/documents/1/teams/1/name"]);
    let many: Vec<Value> = (0..2_001).map(|n| json!({ "name": format!("team-{n}") })).collect();
    let refused = scene.apply(&json!({ "teams": many }), &json!({})).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/documents"]);
    let faults: Vec<Value> = (0..200).map(|n| json!({ "name": format!("T {n}") })).collect();
    let refused =
        scene.apply(&json!({ "teams": faults }), &json!({})).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers().len(), 100, "the first hundred");
    let large = json!({ "people": [{ "email": "ada@example.com", "display_name": "x".repeat(9 << 20) }] });
    scene.apply(&large, &json!({})).await.refused(413, "payload_too_large");
    assert_eq!(scene.rows().await, before);
}

#[tokio::test]
async fn client_and_a_team_keep_what_is_theirs_for_good() {
    let world =
        harness::World::builder().workers(0).installation(ExtraInstallation::org("second", "second-org"));
    let world = world.start().await;
    let root = world.admin().await;
    let scene = super::Scene { world, root };
    let document =
        json!({ "teams": [{ "name": "web", "clients": [{ "client_id": "ci" }] }, { "name": "games" }] });
    scene.applied(&document, &json!({})).await;
    let ci = scene.world.issuer().machine_token("ci").unwrap();
    let asked = json!({ "runner_name_prefix": "ci", "labels": [] });
    scene.world.post("/runners/jit", &ci, &asked).await.assert_status(202);
    let before = scene.rows().await;
    for (document, place) in [
        (
            json!({ "teams": [{ "name": "games", "clients": [{ "client_id": "ci" }] }] }),
            "/documents/0/teams/0/clients/0/client_id",
        ),
        (
            json!({ "teams": [{ "name": "web", "clients": [{ "client_id": "ci", "rule": { "subject": "repo:octo/web:ref:main" } }] }] }),
            "/documents/0/teams/0/clients/0/rule",
        ),
        (
            json!({ "teams": [{ "name": "web", "installation": "second" }] }),
            "/documents/0/teams/0/installation",
        ),
    ] {
        let refused = scene.apply(&document, &json!({})).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [place], "{document}");
    }
    assert_eq!(scene.rows().await, before);
    let moved = json!({ "teams": [{ "name": "games", "installation": "second" }] });
    assert_eq!(changes(&scene.applied(&moved, &json!({})).await), ["update team games"]);
}

#[tokio::test]
async fn only_admins_apply() {
    let scene = scene().await;
    let ada = scene.world.user("ada", &[]).await;
    let body = json!({ "documents": [{ "teams": [{ "name": "web" }] }], "dry_run": true });
    scene.world.post("/admin/apply", &ada, &body).await.refused(403, "admin_required");
    scene.world.post("/admin/apply", &harness::Anyone, &body).await.refused(401, "unauthenticated");
}
