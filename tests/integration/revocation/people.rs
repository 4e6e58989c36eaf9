//! Users and machine clients that are changed, deactivated, removed and bound again.

use harness::{Bearer, provision_body, team_draft};
use serde_json::{Value, json};
use store::UserDraft;

use super::Scene;

#[tokio::test]
async fn deactivated_user_loses_jobs_and_configs_at_once() {
    let scene = Scene::new().await;
    let (world, ada, root) = (&scene.world, &scene.ada, &scene.root);
    let unread = world.provision(ada, provision_body("unread")).await;
    assert_eq!(world.until_final(ada, unread.job).await["state"], "succeeded");
    scene.pause_provisioning().await;
    let waiting = world.provision(ada, provision_body("waiting")).await;

    let leaves = json!({ "comment": "left the company" });
    world.ask("DELETE", &scene.user_path()).by(root).json(&leaves).send().await.assert_status(204);
    world.get("/auth/me", ada).await.refused(403, "inactive");
    world.credential(ada, unread.job).await.refused(403, "inactive");
    scene.assert_cancelled(waiting.job, "inactive").await;
    scene.wait_for_no_runner().await;
    let data = scene.audit_details("user.deactivate").await;
    assert_eq!(
        (&data["before"], &data["after"]),
        (&json!({ "is_active": true }), &json!({ "is_active": false }))
    );
    assert_eq!(data["comment"], "left the company");
    assert_eq!(data["revoked"], json!({ "cancelled_jobs": 1, "shredded_configs": 1, "removed_runners": 1 }));
    world.delete(&scene.user_path(), root).await.assert_status(204);
    let rows = "SELECT count(*) FROM audit_log WHERE event_type = 'user.deactivate'";
    assert_eq!(world.count(rows).await, 1, "the second time changes nothing");

    let path = format!("{}/activate", scene.user_path());
    let back = world.ask("POST", &path).by(root).send().await.assert_status(200).body;
    assert_eq!((&back["is_active"], &back["id"]), (&json!(true), &json!(ada.id)));
    assert_eq!(world.get("/auth/me", ada).await.assert_status(200).body["teams"][0]["name"], "red");
    world.credential(ada, unread.job).await.refused(410, "credential_gone");
}

#[tokio::test]
async fn job_that_runs_during_its_revocation_delivers_nothing() {
    let scene = Scene::new().await;
    let (world, ada, root) = (&scene.world, &scene.ada, &scene.root);
    let asked = world.provision(ada, provision_body("ci")).await;
    let sql = "UPDATE jobs SET state = 'running', fence = fence + 1, finished_at = NULL WHERE id = $1";
    world.until_final(ada, asked.job).await;
    world.change("DELETE FROM credentials WHERE job_id = $1", asked.job).await;
    world.change(sql, asked.job).await;
    world.patch(&scene.user_path(), root, &json!({ "is_active": false })).await.assert_status(200);
    scene.assert_cancelled(asked.job, "inactive").await;
    let job = domain::JobId::from(asked.job);
    let mut conn = world.store().conn().await.unwrap();
    let job = conn.jobs().get(job).await.unwrap().unwrap();
    assert!(!conn.jobs().finish(&job, domain::JobState::Succeeded, None).await.unwrap(), "fenced");
}

#[tokio::test]
async fn changes_of_a_user_are_recorded_before_and_after() {
    let scene = Scene::new().await;
    let (world, root) = (&scene.world, &scene.root);
    let shown = world.get(&scene.user_path(), root).await.assert_status(200).body;
    assert_eq!((&shown["email"], &shown["is_admin"]), (&json!("ada@example.com"), &json!(false)));
    let change =
        json!({ "is_admin": true, "display_name": "Ada", "can_use_jit": true, "comment": "on call" });
    for method in ["PUT", "PATCH"] {
        let now =
            world.ask(method, &scene.user_path()).by(root).json(&change).send().await.assert_status(200).body;
        assert_eq!((&now["is_admin"], &now["display_name"]), (&json!(true), &json!("Ada")), "{method}");
    }
    let data = scene.audit_details("user.update").await;
    assert_eq!(data["before"], json!({ "is_admin": false, "display_name": null }));
    assert_eq!(data["after"], json!({ "is_admin": true, "display_name": "Ada" }));
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE event_type = 'user.update'").await, 1);

    world
        .patch(&scene.user_path(), root, &json!({ "is_admin": false, "display_name": null }))
        .await
        .assert_status(200);
    world.get("/admin/users", &scene.ada).await.refused(403, "admin_required");
    let taken = world.patch(&scene.user_path(), root, &json!({ "email": "ROOT@example.com" })).await;
    assert_eq!(taken.refused(409, "already_exists").pointers(), ["/email"]);
    for (body, pointer) in [
        (json!({ "email": "nobody" }), "/email"),
        (json!({ "oidc_sub": "" }), "/oidc_sub"),
        (json!({ "comment": "" }), "/comment"),
        (json!({ "role": "boss" }), "/role"),
    ] {
        let refused = world.patch(&scene.user_path(), root, &body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), [pointer]);
    }
    let nobody = format!("/admin/users/{}", uuid::Uuid::now_v7());
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        world.ask(method, &nobody).by(root).json(&json!({})).send().await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn withdrawn_jit_permission_cancels_queued_jobs() {
    let scene = Scene::new().await;
    scene.pause_provisioning().await;
    let waiting = scene.world.provision(&scene.ada, provision_body("waiting")).await;
    scene
        .world
        .patch(&scene.user_path(), &scene.root, &json!({ "can_use_jit": false }))
        .await
        .assert_status(200);
    scene.assert_cancelled(waiting.job, "jit_not_allowed").await;
    scene.world.get("/auth/me", &scene.ada).await.assert_status(200);
}

#[tokio::test]
async fn unbound_user_is_bound_anew_at_the_next_login() {
    let scene = Scene::new().await;
    let (world, root) = (&scene.world, &scene.root);
    let claims = json!({ "sub": "ada-2", "email": "ada@example.com", "email_verified": true });
    let moved = Token(world.token(&claims));
    world.get("/auth/me", &moved).await.refused(403, "unknown_principal");
    let path = format!("{}/unbind", scene.user_path());
    let unbound = world.ask("POST", &path).by(root).send().await.assert_status(200).body;
    assert_eq!((&unbound["oidc_sub"], &unbound["is_active"]), (&Value::Null, &json!(true)));
    assert_eq!(scene.audit_details("user.unbind").await["before"]["oidc_sub"], "ada");
    let me = world.get("/auth/me", &moved).await.assert_status(200).body;
    assert_eq!((&me["id"], &me["teams"][0]["name"]), (&json!(scene.ada.id), &json!("red")));
    world.get("/auth/me", &scene.ada).await.refused(403, "unknown_principal");

    world.patch(&scene.user_path(), root, &json!({ "oidc_sub": "ada" })).await.assert_status(200);
    world.get("/auth/me", &scene.ada).await.assert_status(200);
    world.get("/auth/me", &moved).await.refused(403, "unknown_principal");
    let taken = world.patch(&scene.user_path(), root, &json!({ "oidc_sub": "root" })).await;
    assert_eq!(taken.refused(409, "already_exists").pointers(), ["/oidc_sub"]);
}

#[tokio::test]
async fn user_without_an_email_cannot_be_unbound() {
    let scene = Scene::new().await;
    let nameless = UserDraft { email: None, ..scene.world.user_draft("bot") };
    let bot = scene.world.person(nameless, &[]).await;
    let path = format!("/admin/users/{}/unbind", bot.id);
    let refused = scene.world.ask("POST", &path).by(&scene.root).send().await;
    refused.refused(422, "validation_failed");
}

#[tokio::test]
async fn machine_client_is_changed_deactivated_and_removed() {
    let scene = Scene::new().await;
    let (world, root) = (&scene.world, &scene.root);
    let ci = world.machine("ci", &scene.red).await;
    let path = format!("/admin/oauth-clients/{}", ci.id);
    scene.pause_provisioning().await;
    let waiting = world.provision(&ci, provision_body("ci")).await;
    assert_eq!(world.get(&path, root).await.assert_status(200).body["client_id"], "ci");
    let off = json!({ "is_active": false, "description": "leaked", "comment": "secret in a log" });
    let now = world.patch(&path, root, &off).await.assert_status(200).body;
    assert_eq!((&now["is_active"], &now["description"]), (&json!(false), &json!("leaked")));
    world.get("/auth/me", &ci).await.refused(403, "inactive");
    scene.assert_cancelled(waiting.job, "inactive").await;
    let data = scene.audit_details("client.update").await;
    assert_eq!(data["before"], json!({ "is_active": true, "description": null }));
    assert_eq!(
        (&data["revoked"]["cancelled_jobs"], &data["comment"]),
        (&json!(1), &json!("secret in a log"))
    );
    world.patch(&path, root, &json!({ "is_active": true })).await.assert_status(200);
    world.get("/auth/me", &ci).await.assert_status(200);
    let rule = json!({ "rule": { "subject": "repo:acme/app:*" } });
    let refused = world.patch(&path, root, &rule).await.refused(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/rule"]);

    let waiting = world.provision(&ci, provision_body("ci")).await;
    world.delete(&path, root).await.assert_status(204);
    scene.assert_cancelled(waiting.job, "inactive").await;
    world.get("/auth/me", &ci).await.refused(403, "unknown_principal");
    world.get(&path, root).await.refused(404, "not_found");
    world.delete(&path, root).await.refused(404, "not_found");
    assert_eq!(world.get("/admin/oauth-clients", root).await.assert_status(200).body["total"], 0);
    assert_eq!(scene.audit_details("client.delete").await["client_id"], "ci");

    let blue = world.team(team_draft("blue")).await;
    let again = json!({ "client_id": "ci", "team_id": blue.id });
    world.post("/admin/oauth-clients", root, &again).await.assert_status(201);
    assert_eq!(world.get("/auth/me", &ci).await.assert_status(200).body["teams"][0]["name"], "blue");
}

/// A bare token.
struct Token(String);

impl Bearer for Token {
    fn token(&self) -> Option<&str> {
        Some(&self.0)
    }
}
