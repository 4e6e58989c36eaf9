//! Binding of invited users to their first login.

use futures::future::join_all;
use harness::{World, team_draft};
use serde_json::{Value, json};
use store::UserDraft;

use super::{alarmed, audited, invite, login, me};

#[tokio::test]
async fn invitation_binds_only_a_verified_email_of_its_issuer() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let root = world.admin().await;
    let ceo = invite(&world, &root, json!({ "email": "ceo@corp.example", "is_admin": true })).await;
    assert_eq!(ceo["issuer"], world.issuer().url(), "every user has an issuer");
    let unverified = json!({ "sub": "evil", "email": "CEO@corp.example" });
    me(&world, &world.token(&unverified)).await.refused(403, "unknown_principal");
    let elsewhere = json!({ "sub": "evil", "email": "CEO@corp.example", "email_verified": true });
    me(&world, &world.issuers[1].token(&elsewhere).unwrap()).await.refused(403, "unknown_principal");
    assert!(audited(&world, "user.bind").await.iter().all(|row| row["success"] == false));

    let first = me(&world, &login(&world, "ceo-sub", "CEO@corp.example")).await.assert_status(200);
    assert_eq!(first.body["id"], ceo["id"]);
    let bound = audited(&world, "user.bind").await;
    let bound: Vec<_> = bound.iter().filter(|row| row["success"] == true).collect();
    assert_eq!(bound.len(), 1);
    assert_eq!(bound[0]["data"]["subject"], "ceo-sub");
    assert_eq!(bound[0]["data"]["issuer"], world.issuer().url());
    assert_eq!(bound[0]["ip"], "127.0.0.1");
    assert_eq!(alarmed(&world, "admin_bound").await.len(), 1);

    for _ in 0..30 {
        me(&world, &login(&world, "second", "ceo@corp.example")).await.refused(403, "unknown_principal");
    }
    let refused = alarmed(&world, "user_bind_refused").await;
    let twice: Vec<_> = refused.iter().filter(|event| event["data"]["reason"] == "bound_already").collect();
    assert_eq!(twice.len(), 1, "thirty tries are one event");
    assert_eq!(twice[0]["severity"], "high");
}

#[tokio::test]
async fn invitation_older_than_thirty_days_is_not_bound() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let ada = invite(&world, &root, json!({ "email": "ada@example.com" })).await;
    let id = ada["id"].as_str().unwrap().parse().unwrap();
    world.change("UPDATE users SET created_at = now() - interval '31 days' WHERE id = $1", id).await;
    let token = login(&world, "ada", "ada@example.com");
    let refused = me(&world, &token).await.refused(403, "unknown_principal");
    assert!(refused.body["detail"].as_str().unwrap().contains("30 days"), "{}", refused.text);
    world.change("UPDATE users SET invited_at = now() - interval '29 days' WHERE id = $1", id).await;
    me(&world, &token).await.assert_status(200);
}

#[tokio::test]
async fn two_first_requests_at_once_are_both_answered() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    for nth in 0..10 {
        let email = format!("new-{nth}@example.com");
        invite(&world, &root, json!({ "email": email })).await;
        let token = login(&world, &format!("sub-{nth}"), &email);
        for answer in join_all((0..5).map(|_| me(&world, &token))).await {
            answer.assert_status(200);
        }
    }
    assert_eq!(audited(&world, "user.bind").await.len(), 10);
}

#[tokio::test]
async fn invited_person_is_not_taken_for_a_rules_client() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let red = world.team(team_draft("red")).await;
    let rule = json!({ "client_id": "all", "team_id": red.id, "rule": { "subject": "people/acme/*" } });
    world.post("/admin/oauth-clients", &root, &rule).await.assert_status(201);
    invite(&world, &root, json!({ "email": "ada@example.com" })).await;
    let machine = me(&world, &world.token(&json!({ "sub": "people/acme/bot" }))).await.assert_status(200);
    assert_eq!(machine.body["kind"], "client");
    let unverified = json!({ "sub": "people/acme/ada", "email": "ada@example.com" });
    me(&world, &world.token(&unverified)).await.refused(403, "unknown_principal");
    let ada = me(&world, &login(&world, "people/acme/ada", "ada@example.com")).await.assert_status(200);
    assert_eq!(ada.body["kind"], "user");
}

#[tokio::test]
async fn users_and_clients_name_a_configured_issuer() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let root = world.admin().await;
    let red = world.team(team_draft("red")).await;
    let (first, slash) = (world.issuer().url().to_owned(), format!("{}/", world.issuer().url()));
    for issuer in ["https://elsewhere.example", slash.as_str()] {
        let users = [
            json!({ "email": "a@example.com", "issuer": issuer }),
            json!({ "oidc_sub": "a", "issuer": issuer }),
        ];
        for body in users {
            let refused = world.post("/admin/users", &root, &body).await.refused(422, "validation_failed");
            assert_eq!(refused.pointers(), ["/issuer"]);
            assert!(refused.text.contains(&first), "{}", refused.text);
        }
        let body = json!({ "client_id": "c", "team_id": red.id, "issuer": issuer });
        let refused =
            world.post("/admin/oauth-clients", &root, &body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/issuer"]);
    }
    assert_eq!(invite(&world, &root, json!({ "oidc_sub": "sub-only" })).await["issuer"], first);
    let other = world.issuers[1].url();
    assert_eq!(
        invite(&world, &root, json!({ "email": "b@example.com", "issuer": other })).await["issuer"],
        other
    );
    let said =
        me(&world, &world.token(&json!({ "iss": slash, "sub": "x" }))).await.refused(401, "invalid_token");
    assert!(
        said.text.contains(&format!("`{slash}`")) && said.text.contains(&format!("`{first}`")),
        "{}",
        said.text
    );
}

#[tokio::test]
async fn unbound_person_is_invited_anew_and_binds_another_subject() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let ada = invite(&world, &root, json!({ "email": "ada@example.com" })).await;
    let id = ada["id"].as_str().unwrap();
    me(&world, &login(&world, "old", "ada@example.com")).await.assert_status(200);
    let old = "UPDATE users SET created_at = now() - interval '1 year', invited_at = NULL WHERE id = $1";
    world.change(old, id.parse().unwrap()).await;
    me(&world, &login(&world, "new", "ada@example.com")).await.refused(403, "unknown_principal");
    world.post(&format!("/admin/users/{id}/unbind"), &root, &json!({})).await.assert_status(200);
    me(&world, &login(&world, "new", "ada@example.com")).await.assert_status(200);
    me(&world, &login(&world, "old", "ada@example.com")).await.refused(403, "unknown_principal");
}

#[tokio::test]
async fn invitation_without_an_issuer_is_for_the_first_that_binds_people() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let old = UserDraft { issuer: None, subject: None, ..world.user_draft("ada") };
    world.person(old, &[]).await;
    let claims = json!({ "sub": "a", "email": "ada@example.com", "email_verified": true });
    me(&world, &world.issuers[1].token(&claims).unwrap()).await.refused(403, "unknown_principal");
    me(&world, &world.token(&claims)).await.assert_status(200);
}

#[tokio::test]
async fn changed_invitation_is_checked_like_a_new_one() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let id = invite(&world, &root, json!({ "email": "ada@example.com" })).await["id"].clone();
    let api = world.program("api", &[("OIDC_EMAIL_DOMAINS", "corp.example")]);
    let address = api.address().await;
    let path = format!("/admin/users/{}", id.as_str().unwrap());
    let change = |method: &str, body: &Value| world.ask_at(address, method, &path, &root).json(body).send();
    for method in ["PATCH", "PUT"] {
        for email in ["ada@example.org", "ada@sub.corp.example"] {
            let said = change(method, &json!({ "email": email })).await.refused(422, "validation_failed");
            assert_eq!(said.pointers(), ["/email"], "{method} {email}");
            assert!(said.text.contains("email_domains"), "{}", said.text);
        }
    }
    // The invitation of before the setting stays; it is not sent anew.
    change("PATCH", &json!({ "display_name": "Ada" })).await.assert_status(200);
    change("PATCH", &json!({ "email": "ada@example.org", "oidc_sub": "ada" })).await.assert_status(200);
    change("PATCH", &json!({ "oidc_sub": null })).await.refused(422, "validation_failed");
    let body = json!({ "oidc_sub": null, "email": "ada@corp.example" });
    assert_eq!(change("PATCH", &body).await.assert_status(200).body["email"], "ada@corp.example");
    assert_eq!(audited(&world, "user.update").await.len(), 3, "a refused change writes nothing");
    api.stop().await;
}

#[tokio::test]
async fn first_admins_are_invited_for_the_issuer_that_binds_people() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let unnamed = UserDraft { issuer: None, subject: None, ..world.user_draft("old") };
    world.person(unnamed, &[]).await;
    let api = world.program("api", &[("BOOTSTRAP_ADMINS", "boss@example.com")]);
    let address = api.address().await;
    let add = ["create-admin", "--email", "second@example.com"];
    world.command(&add, &[]).await.expect(0);
    let issuers = "SELECT count(*) FROM users WHERE issuer = (SELECT issuer FROM users WHERE email = 'boss@example.com')";
    assert_eq!(world.count(issuers).await, 3, "the old invitation, the bootstrap admin and the second");
    let unverified = world.token(&json!({ "sub": "evil", "email": "boss@example.com" }));
    world.ask_at(address, "GET", "/auth/me", &unverified).send().await.refused(403, "unknown_principal");
    for (sub, email) in [("boss", "boss@example.com"), ("second", "second@example.com")] {
        let token = login(&world, sub, email);
        let body = world.ask_at(address, "GET", "/auth/me", &token).send().await.assert_status(200).body;
        assert_eq!(body["is_admin"], true, "{email}");
    }
    let elsewhere = [&add[..], &["--issuer", "https://elsewhere.example"]].concat();
    let refused = world.command(&elsewhere, &[]).await;
    assert!(refused.code != Some(0) && refused.stderr.contains(world.issuer().url()), "{}", refused.stderr);
    let unbound = world.command(&add, &[("OIDC_EMAIL_DOMAINS", "corp.example")]).await;
    assert!(unbound.code == Some(4) && unbound.stderr.contains("email_domains"), "{}", unbound.stderr);
    let named = [&add[..], &["--subject", "second"]].concat();
    world.command(&named, &[("OIDC_EMAIL_DOMAINS", "corp.example")]).await.expect(0);
    let nobody = world.command(&add, &[("OIDC_BINDS_PEOPLE", "false")]).await;
    assert!(nobody.code != Some(0) && nobody.stderr.contains("OIDC_BINDS_PEOPLE"), "{}", nobody.stderr);
    api.stop().await;
}
