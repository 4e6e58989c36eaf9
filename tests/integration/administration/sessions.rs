//! Dashboard sessions of others, as admins see and end them.

use harness::Browser;
use serde_json::json;
use uuid::Uuid;

use super::{Scene, scene};

impl Scene {
    async fn recorded(&self) -> i64 {
        self.world.count("SELECT count(*) FROM audit_log WHERE event_type = 'session.end'").await
    }
}

async fn is_signed_in(browser: &Browser) -> bool {
    browser.get("/sessions").await.status == 200
}

#[tokio::test]
async fn sessions_of_a_person_are_listed_without_secrets_and_ended() {
    let scene = scene().await;
    let (world, root) = (&scene.world, &scene.root);
    let bob = world.user("bob", &[]).await;
    let (one, two, three) =
        (world.sign_in(&scene.ada).await, world.sign_in(&scene.ada).await, world.sign_in(&scene.ada).await);
    let other = world.sign_in(&bob).await;
    let path = format!("/admin/users/{}/sessions", scene.ada.id);
    let viewer = world.viewer("vera").await;
    let listed = world.get(&path, &viewer).await.assert_status(200);
    let sessions = listed.body["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 3);
    let members: Vec<&str> = sessions[0].as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = ["created_at", "expires_at", "id", "issuer", "last_seen_at", "request_ip", "user_agent"];
    assert_eq!(members, wanted, "no cookie and no hash of one");
    assert_eq!(sessions[0]["issuer"], world.issuer().url());

    let newest = sessions[0]["id"].as_str().unwrap();
    let body = json!({ "comment": "a lost laptop" });
    let end = async |path: &str| world.ask("DELETE", path).by(root).json(&body).send().await;
    end(&format!("/admin/users/{}/sessions/{newest}", bob.id)).await.refused(404, "not_found");
    end(&format!("{path}/{newest}")).await.assert_status(204);
    assert_eq!(
        [is_signed_in(&one).await, is_signed_in(&two).await, is_signed_in(&three).await],
        [true, true, false]
    );
    end(&format!("{path}/{newest}")).await.refused(404, "not_found");

    world
        .change(
            "UPDATE sessions SET seen_at = now() - interval '9 hours' WHERE user_id = $1 AND id = (
        SELECT id FROM sessions WHERE ended_at IS NULL AND user_id = $1 ORDER BY id LIMIT 1)",
            scene.ada.id.uuid(),
        )
        .await;
    let ended = end(&path).await.assert_status(200);
    assert_eq!(ended.body, json!({ "ended_count": 1 }), "one had run out");
    assert!(!is_signed_in(&one).await && !is_signed_in(&two).await && is_signed_in(&other).await);
    assert_eq!(end(&path).await.assert_status(200).body, json!({ "ended_count": 0 }));
    assert_eq!(scene.recorded().await, 2, "without an open session nothing happens");
    let row = "SELECT count(*) FROM audit_log WHERE event_type = 'session.end' AND user_identity = 'root@example.com'
        AND event_data ->> 'comment' = 'a lost laptop' AND event_data ->> 'email' = 'ada@example.com'";
    assert_eq!(world.count(row).await, 2);
    world.get("/auth/me", &scene.ada).await.assert_status(200);
    assert!(is_signed_in(&world.sign_in(&scene.ada).await).await, "they may sign in again");
}

#[tokio::test]
async fn sessions_of_others_are_for_admins_and_wrong_requests_end_none() {
    let scene = scene().await;
    let world = &scene.world;
    let browser = world.sign_in(&scene.ada).await;
    let path = format!("/admin/users/{}/sessions", scene.ada.id);
    world.get(&path, &scene.ada).await.refused(403, "admin_required");
    world.delete(&path, &scene.ada).await.refused(403, "admin_required");
    let delete = async |path: &str, body: &serde_json::Value| {
        world.ask("DELETE", path).by(&scene.root).json(body).send().await
    };
    for comment in ["", " ", "a\u{0}b", &"a".repeat(501)] {
        let refused = delete(&path, &json!({ "comment": comment })).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/comment"]);
    }
    delete(&path, &json!({ "reason": "x" })).await.refused(422, "validation_failed");
    let nobody = format!("/admin/users/{}/sessions", Uuid::now_v7());
    world.get(&nobody, &scene.root).await.refused(404, "not_found");
    delete(&nobody, &json!({})).await.refused(404, "not_found");
    delete(&format!("{path}/nonsense"), &json!({})).await.refused(404, "not_found");
    assert!(is_signed_in(&browser).await);
    assert_eq!(scene.recorded().await, 0);
}
