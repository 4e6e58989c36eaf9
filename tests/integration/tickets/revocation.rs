//! Tickets that end before a machine redeems them.

use harness::World;
use serde_json::{Value, json};

use super::Scene;

#[tokio::test]
async fn revoked_ticket_is_refused_and_revoked_once() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let path = format!("/runners/tickets/{}/revoke", ticket["ticket_id"].as_str().unwrap());
    let revoke = || scene.world.ask("POST", &path).by(&scene.ada).send();
    assert_eq!(revoke().await.assert_status(200).body["state"], "revoked");
    revoke().await.refused(409, "ticket_settled");
    scene.redeem(&ticket, "boot-1").await.refused(403, "ticket_refused");

    let used = scene.ticket(&scene.ada).await.assert_status(201).body;
    scene.redemption(&used, "boot").header("prefer", "respond-async").send().await.assert_status(202);
    let path = format!("/runners/tickets/{}/revoke", used["ticket_id"].as_str().unwrap());
    scene.world.ask("POST", &path).by(&scene.ada).send().await.refused(409, "ticket_settled");
}

#[tokio::test]
async fn tickets_end_with_the_access_of_their_requester_or_team() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let root = scene.world.admin().await;
    let bot = scene.world.machine("bot", &scene.red).await;
    let send = async |method: &str, path: String, body: Value| {
        scene.world.ask(method, &path).by(&root).json(&body).send().await
    };
    let (ada, team) = (scene.ada.id, scene.red.id);

    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    send("DELETE", format!("/admin/users/{ada}"), json!({})).await.assert_status(204);
    send("POST", format!("/admin/users/{ada}/activate"), json!({})).await.assert_status(200);
    scene.redeem(&ticket, "boot").await.refused(403, "ticket_refused");

    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    send("PATCH", format!("/admin/users/{ada}"), json!({ "can_use_jit": false })).await.assert_status(200);
    send("PATCH", format!("/admin/users/{ada}"), json!({ "can_use_jit": true })).await.assert_status(200);
    scene.redeem(&ticket, "boot").await.refused(403, "ticket_refused");

    let ticket = scene.ticket(&bot).await.assert_status(201).body;
    send("PATCH", format!("/admin/oauth-clients/{}", bot.id), json!({ "is_active": false }))
        .await
        .assert_status(200);
    send("PATCH", format!("/admin/oauth-clients/{}", bot.id), json!({ "is_active": true }))
        .await
        .assert_status(200);
    scene.redeem(&ticket, "boot").await.refused(403, "ticket_refused");

    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let reason = json!({ "reason": "moved" });
    send("POST", format!("/admin/teams/{team}/deactivate"), reason).await.assert_status(200);
    send("POST", format!("/admin/teams/{team}/reactivate"), json!({})).await.assert_status(200);
    scene.redeem(&ticket, "boot").await.refused(403, "ticket_refused");

    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    send("DELETE", format!("/admin/teams/{team}/members/{ada}"), json!({})).await.assert_status(204);
    scene.redeem(&ticket, "boot").await.refused(403, "ticket_refused");
    let ended = "SELECT count(*) FROM claim_tickets WHERE revoked_at IS NOT NULL";
    assert_eq!(scene.world.count(ended).await, 5);
    assert_eq!(scene.world.count("SELECT count(*) FROM runners").await, 0);
}

#[tokio::test]
async fn machine_client_revokes_only_tickets_of_its_own_subject() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let bot = scene.world.machine("bot", &scene.red).await;
    let delete = async |ticket: &Value, who: &dyn harness::Bearer| {
        let path = format!("/runners/tickets/{}/revoke", ticket["ticket_id"].as_str().unwrap());
        scene.world.ask("POST", &path).by(who).send().await
    };
    let (hers, its) = (scene.ticket(&scene.ada).await.body, scene.ticket(&bot).await.assert_status(201).body);
    delete(&hers, &bot).await.refused(403, "credential_denied");
    delete(&its, &bot).await.assert_status(200);
    delete(&hers, &scene.ada).await.assert_status(200);
}

#[tokio::test]
async fn team_has_a_limit_of_open_tickets() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let copies = "INSERT INTO claim_tickets (id, secret_hash, team_id, requester_user, identity, issuer, subject, runner,
            holder, expires_at)
        SELECT gen_random_uuid(), sha256(n::text::bytea), team_id, requester_user, identity, issuer, subject, runner, holder,
            expires_at FROM claim_tickets, generate_series(1, 499) n WHERE id = $1";
    let id: uuid::Uuid = ticket["ticket_id"].as_str().unwrap().parse().unwrap();
    let done = sqlx::query(copies).bind(id).execute(scene.world.sql()).await.unwrap();
    assert_eq!(done.rows_affected(), 499);
    let refused = scene.ticket(&scene.ada).await.refused(403, "quota_exceeded");
    assert!(refused.body["detail"].as_str().unwrap().contains("500 open"), "{}", refused.text);
}

#[tokio::test]
async fn team_page_lists_open_tickets_and_revokes_them() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let browser = scene.world.sign_in(&scene.ada).await;
    let team = format!("/teams/{}", scene.red.id);
    let page = browser.get(&team).await.assert_status(200);
    assert!(page.text.contains("Open claim tickets") && page.text.contains("127.0.0.0/8"), "{}", page.text);
    assert!(!page.text.contains(ticket["ticket"].as_str().unwrap()));
    let path = format!("{team}/tickets/{}/revoke", ticket["ticket_id"].as_str().unwrap());
    let preview = browser.get(&path).await.assert_status(200);
    assert!(preview.text.contains("Revoke the ticket"), "{}", preview.text);
    browser.post(&path, &[]).await.assert_status(303);
    assert_eq!(scene.state(&ticket).await, "revoked");
    assert!(!browser.get(&team).await.text.contains("Open claim tickets"));
}
