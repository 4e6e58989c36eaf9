//! Information that callers get about themselves, and the audit of callers without rights.

use harness::{World, team_draft};
use serde_json::{Value, json};

use super::{alarmed, audited, me};

#[tokio::test]
async fn me_names_user_email_subject_and_roles() {
    let world = World::builder().workers(0).start().await;
    let (red, root) = (world.team(team_draft("red")).await, world.admin().await);
    let ada = world.user("ada", &[&red]).await;
    let body = me(&world, &ada.token).await.assert_status(200).body;
    assert_eq!((&body["user_id"], &body["email"]), (&json!(ada.id), &json!("ada@example.com")));
    assert_eq!((&body["oidc_sub"], &body["roles"]), (&json!("ada"), &json!(["member"])));
    assert_eq!(body["teams"], json!([{ "id": red.id, "name": "red", "is_active": true }]));
    assert_eq!(me(&world, &root.token).await.assert_status(200).body["roles"], json!(["admin"]));
    let bot = world.machine("bot", &red).await;
    let body = me(&world, &bot.token).await.assert_status(200).body;
    assert_eq!(
        (&body["user_id"], &body["email"], &body["oidc_sub"]),
        (&Value::Null, &Value::Null, &json!("bot@clients"))
    );
}

#[tokio::test]
async fn unknown_principal_gets_the_claims_that_were_read() {
    let world = World::builder().workers(0).start().await;
    let known = json!({ "sub": "nobody", "azp": "webapp", "email": "x@example.com", "email_verified": true });
    let detail =
        me(&world, &world.token(&known)).await.refused(403, "unknown_principal").body["detail"].clone();
    for word in [world.issuer().url(), "nobody", "webapp", "x@example.com"] {
        assert!(detail.as_str().unwrap().contains(word), "{detail}");
    }
    let bare = me(&world, &world.token(&json!({ "sub": "nobody" }))).await.refused(403, "unknown_principal");
    assert!(bare.text.contains("no e-mail") && bare.text.contains("no client id"), "{}", bare.text);
}

#[tokio::test]
async fn strangers_and_probing_users_write_a_bounded_number_of_rows() {
    let world = World::builder().workers(0).start().await;
    let ada = world.user("ada", &[]).await;
    for nth in 0..60 {
        let stranger = world.token(&json!({ "sub": format!("repo:evil/x-{nth}:y"), "repository": "evil/x" }));
        me(&world, &stranger).await.refused(403, "unknown_principal");
        me(&world, &stranger).await.refused(403, "unknown_principal");
        world.get("/admin/users", &ada).await.refused(403, "admin_required");
    }
    let (rows, events) =
        (audited(&world, "principal.unknown").await, alarmed(&world, "unknown_principal").await);
    assert!(
        (1..=25).contains(&rows.len()) && (1..=25).contains(&events.len()),
        "{} {}",
        rows.len(),
        events.len()
    );
    assert_eq!(rows[0]["data"]["claims"]["sub"], "repo:evil/x-0:y");
    let probes = audited(&world, "admin.denied").await;
    assert_eq!(probes.len(), 1);
    assert_eq!(probes[0]["data"]["path"], "/api/v1/admin/users");
    world.change("UPDATE users SET is_active = false WHERE id = $1", ada.id.uuid()).await;
    for _ in 0..5 {
        me(&world, &ada.token).await.refused(403, "inactive");
    }
    assert_eq!(audited(&world, "principal.inactive").await.len(), 1);
    assert_eq!(alarmed(&world, "inactive_principal").await.len(), 1);
}
