//! Authentication: forged tokens, key rotation, several issuers, machine clients and first logins. The details of
//! verification are tested in the `oidc` crate.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use dev_issuer::{Algorithm, IssuerFault, Sign};
use domain::ClaimRule;
use harness::{ApiResponse, World, provision_body, team_draft};
use serde_json::{Value, json};
use store::UserDraft;

async fn me(world: &World, token: &str) -> ApiResponse {
    world.get("/auth/me", token).await
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// Returns the claims of a valid token of Ada.
fn claims(world: &World) -> Value {
    json!({ "iss": world.issuer().url(), "aud": "runner-tokens", "sub": "ada", "iat": now(), "nbf": now(),
        "exp": now() + 600 })
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::builder().workers(0).algorithms(&[Algorithm::RS256, Algorithm::ES256]).start().await;
    world.user("ada", &[]).await;
    let issuer = world.issuer();
    let (rsa, ec) = (issuer.kid_for(Algorithm::RS256).unwrap(), issuer.kid_for(Algorithm::ES256).unwrap());
    let pem = issuer.public_pem(&rsa).unwrap();
    let good = claims(&world);
    let sign = |kid: &str, how: Sign<'_>, header: Value| issuer.sign_with(kid, &how, &header, &good).unwrap();
    let rs = Sign::With(Algorithm::RS256);
    me(&world, &sign(&rsa, rs.clone(), json!({ "alg": "RS256", "kid": rsa }))).await.assert_status(200);

    let elsewhere = format!("{}/jwks", issuer.url());
    let forged = [
        ("no signature", sign(&rsa, Sign::Nothing, json!({ "alg": "none" }))),
        ("no signature, key named", sign(&rsa, Sign::Nothing, json!({ "alg": "None", "kid": rsa }))),
        ("signature cut off", sign(&rsa, Sign::Nothing, json!({ "alg": "RS256", "kid": rsa }))),
        (
            "public key as secret",
            sign(&rsa, Sign::Hmac(pem.as_bytes()), json!({ "alg": "HS256", "kid": rsa })),
        ),
        (
            "secret, but said to be RSA",
            sign(&rsa, Sign::Hmac(pem.as_bytes()), json!({ "alg": "RS256", "kid": rsa })),
        ),
        ("other key's id", sign(&rsa, rs.clone(), json!({ "alg": "RS256", "kid": ec }))),
        ("other algorithm said", sign(&rsa, rs.clone(), json!({ "alg": "PS256", "kid": rsa }))),
        ("unknown key", sign(&rsa, rs.clone(), json!({ "alg": "RS256", "kid": "other" }))),
        (
            "critical extension",
            sign(&rsa, rs.clone(), json!({ "alg": "RS256", "kid": rsa, "crit": ["exp"] })),
        ),
        (
            "keys of its own",
            sign(&rsa, Sign::Nothing, json!({ "alg": "RS256", "kid": rsa, "jku": elsewhere })),
        ),
    ];
    for (what, token) in &forged {
        let answer = me(&world, token).await;
        assert_eq!((answer.status, answer.code()), (401, "invalid_token"), "{what}: {}", answer.text);
        assert!(!answer.text.contains(token.as_str()), "{what}");
    }
    let mut parts: Vec<String> =
        world.token(&json!({ "sub": "ada" })).split('.').map(str::to_owned).collect();
    let theirs = world.token(&json!({ "sub": "root" }));
    parts[1] = theirs.split('.').nth(1).unwrap().to_owned();
    me(&world, &parts.join(".")).await.refused(401, "invalid_token");
}

#[tokio::test]
async fn invalid_claims_are_refused() {
    let world = World::builder().workers(0).start().await;
    world.user("ada", &[]).await;
    me(&world, &world.token(&claims(&world))).await.assert_status(200);
    let with = |name: &str, value: Value| {
        let mut all = claims(&world);
        all[name] = value;
        world.token(&all)
    };
    for (name, value, code) in [
        ("iss", json!("https://elsewhere.example"), "invalid_token"),
        ("iss", json!(format!("{}/", world.issuer().url())), "invalid_token"),
        ("iss", Value::Null, "invalid_token"),
        ("aud", json!("someone-else"), "invalid_token"),
        ("aud", json!(["someone-else", "runner-tokens-2"]), "invalid_token"),
        ("aud", Value::Null, "invalid_token"),
        ("exp", json!(now() - 61), "token_expired"),
        ("exp", Value::Null, "invalid_token"),
        ("exp", json!("tomorrow"), "invalid_token"),
        ("nbf", json!(now() + 120), "invalid_token"),
        ("iat", json!(now() + 120), "invalid_token"),
        ("sub", Value::Null, "invalid_token"),
        ("sub", json!(""), "invalid_token"),
        ("sub", json!("a\u{0}b"), "invalid_token"),
        ("sub", json!(7), "invalid_token"),
        ("exp", json!(now() + 10 * 365 * 86_400), "invalid_token"),
    ] {
        let answer = me(&world, &with(name, value.clone())).await;
        assert_eq!((answer.status, answer.code()), (401, code), "{name} {value}: {}", answer.text);
    }
    me(&world, &with("aud", json!(["x", "runner-tokens"]))).await.assert_status(200);
    me(&world, &with("exp", json!(now() - 30))).await.assert_status(200);
}

#[tokio::test]
async fn subjects_of_two_issuers_are_independent() {
    let world = World::builder().workers(0).issuers(2).start().await;
    world.user("ada", &[]).await;
    let theirs = world.issuers[1].token(&json!({ "sub": "ada", "email": "ada@example.com" })).unwrap();
    me(&world, &theirs).await.refused(403, "unknown_principal");
    let lie = world.issuers[1].token(&json!({ "iss": world.issuer().url(), "sub": "ada" })).unwrap();
    me(&world, &lie).await.refused(401, "invalid_token");
    let other =
        UserDraft { issuer: Some(world.issuers[1].url().to_owned()), email: None, ..world.user_draft("ada") };
    world.person(other, &[]).await;
    let answer = me(&world, &theirs).await.assert_status(200);
    assert_eq!(answer.body["identity"], format!("{}#ada", world.issuers[1].url()));

    world.issuers[1].fault_jwks(Some(IssuerFault::Down));
    me(&world, &world.token(&json!({ "sub": "ada" }))).await.assert_status(200);
}

#[tokio::test]
async fn keys_rotate_without_a_restart() {
    let world = World::builder().workers(0).start().await;
    let ada = world.user("ada", &[]).await;
    me(&world, &ada.token).await.assert_status(200);
    world.issuer().rotate(Algorithm::ES256, true).unwrap();
    let newer = world.token(&json!({ "sub": "ada" }));
    let fetched = world.issuer().fetches().jwks;
    // Unknown keys trigger a bounded number of key downloads, for all senders together.
    me(&world, &newer).await.refused(401, "invalid_token");
    assert_eq!(world.issuer().fetches().jwks, fetched);
    world.clock.advance(TimeDelta::seconds(31));
    me(&world, &newer).await.assert_status(200);
    me(&world, &newer).await.assert_status(200);
    assert_eq!(world.issuer().fetches().jwks, fetched + 1);
    me(&world, &ada.token).await.assert_status(200);

    world.issuer().rotate(Algorithm::ES256, false).unwrap();
    world.clock.advance(TimeDelta::minutes(11));
    me(&world, &newer).await.refused(401, "invalid_token");
    me(&world, &world.token(&json!({ "sub": "ada" }))).await.assert_status(200);
}

#[tokio::test]
async fn missing_issuer_keys_are_reported_as_unavailable() {
    let world = World::builder().workers(0).start().await;
    let ada = world.user("ada", &[]).await;
    for fault in [IssuerFault::Down, IssuerFault::Hangup, IssuerFault::Malformed] {
        world.issuer().fault_discovery(Some(fault));
        world.clock.advance(TimeDelta::seconds(3));
        let answer = me(&world, &ada.token).await.refused(503, "keys_unavailable");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    let ready = world.request("GET", "/health/ready").send().await.assert_status(503);
    assert!(ready.text.contains("issuer_keys"));
    world.request("GET", "/health/live").send().await.assert_status(200);
    world.issuer().fault_discovery(None);
    world.clock.advance(TimeDelta::seconds(3));
    me(&world, &ada.token).await.assert_status(200);
    world.issuer().fault_discovery(Some(IssuerFault::Down));
    world.issuer().fault_jwks(Some(IssuerFault::Down));
    me(&world, &ada.token).await.assert_status(200);
}

#[tokio::test]
async fn machine_client_is_identified_by_any_client_id_claim() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let bot = world.machine("bot", &red).await;
    for claims in [
        json!({ "sub": "bot@clients", "gty": "client-credentials" }),
        json!({ "sub": "bot" }),
        json!({ "sub": "3f2a", "azp": "bot", "preferred_username": "service-account-bot", "scope": "openid" }),
        json!({ "sub": "3f2a", "client_id": "bot", "gty": "client-credentials" }),
        json!({ "sub": "bot", "cid": "bot", "scp": ["runners"] }),
        json!({ "sub": "3f2a", "oid": "3f2a", "tid": "t", "appid": "bot" }),
        json!({ "sub": "3f2a", "azp": "bot", "idtyp": "app" }),
    ] {
        let answer = me(&world, &world.token(&claims)).await.assert_status(200);
        assert_eq!(answer.body["id"], json!(bot.id), "{claims}");
        assert_eq!(answer.body["teams"][0]["name"], "red");
    }
    for claims in [
        json!({ "sub": "3f2a", "azp": "bot", "email": "eve@example.com" }),
        json!({ "sub": "auth0|human-123", "azp": "bot", "scope": "openid profile" }),
        json!({ "sub": "3f2a", "azp": "bot" }),
        json!({ "sub": "3f2a", "client_id": "bot" }),
        json!({ "sub": "jane", "cid": "bot", "scp": ["runners"] }),
        json!({ "sub": "bot", "email": "x@example.com" }),
        json!({ "sub": "bot", "scope": "openid" }),
        json!({ "sub": "BOT" }),
        json!({ "sub": "bot@clients@clients" }),
        json!({ "sub": "other", "gty": "client-credentials" }),
    ] {
        me(&world, &world.token(&claims)).await.refused(403, "unknown_principal");
    }
    world.change("UPDATE oauth_clients SET is_active = false WHERE id = $1", bot.id.uuid()).await;
    me(&world, &bot.token).await.refused(403, "inactive");
}

fn rule(subject: &str, claims: &[(&str, Value)]) -> ClaimRule {
    let claims: BTreeMap<_, _> =
        claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    ClaimRule { subject: subject.to_owned(), claims }
}

#[tokio::test]
async fn workflow_is_identified_by_its_repository() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let of_acme = rule("repo:acme/deploy:*", &[("repository_owner_id", json!("77"))]);
    let deploy = world.client("deploy", &red, Some(of_acme)).await;
    let workflow = |sub: &str, owner: &str| {
        world.token(&json!({ "sub": sub, "repository_owner_id": owner, "job_workflow_ref": "acme/deploy/x" }))
    };
    let token = workflow("repo:acme/deploy:ref:refs/heads/main", "77");
    assert_eq!(me(&world, &token).await.assert_status(200).body["id"], json!(deploy));
    world.jit(&token, &provision_body("ci")).await.assert_status(202);
    for (sub, owner) in [
        ("repo:acme/deploy:ref:refs/heads/main", "78"),
        ("repo:acme/deployer:ref:refs/heads/main", "77"),
        ("repo:evil/repo:acme/deploy:x", "77"),
        ("REPO:acme/deploy:x", "77"),
    ] {
        me(&world, &workflow(sub, owner)).await.refused(403, "unknown_principal");
    }
    world.client("overlap", &red, Some(rule("repo:acme/*", &[]))).await;
    me(&world, &token).await.refused(403, "unknown_principal");
}

#[tokio::test]
async fn service_account_is_identified_by_name_and_cluster() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let account = rule("system:serviceaccount:ci:runner-*", &[("cluster", json!({ "name": "prod" }))]);
    let known = world.client("prod-runners", &red, Some(account)).await;
    let pod = |sub: &str, cluster: &str| world.token(&json!({ "sub": sub, "cluster": { "name": cluster } }));
    let answer = me(&world, &pod("system:serviceaccount:ci:runner-a", "prod")).await.assert_status(200);
    assert_eq!(answer.body["id"], json!(known));
    for (sub, cluster) in
        [("system:serviceaccount:ci:runner-a", "dev"), ("system:serviceaccount:x:runner-a", "prod")]
    {
        me(&world, &pod(sub, cluster)).await.refused(403, "unknown_principal");
    }
}

#[tokio::test]
async fn user_invited_by_email_is_bound_at_the_first_login() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let unbound = UserDraft { issuer: None, subject: None, ..world.user_draft("ada") };
    let ada = world.person(unbound, &[]).await;
    let login = |sub: &str, email: &str, verified: Value| {
        world.token(&json!({ "sub": sub, "email": email, "email_verified": verified, "name": "Ada L" }))
    };
    for verified in [json!(false), json!("false"), json!(0), Value::Null] {
        me(&world, &login("evil", "ada@example.com", verified)).await.refused(403, "unknown_principal");
    }
    let first = me(&world, &login("sub-1", "ADA@example.com", json!(true))).await.assert_status(200);
    assert_eq!(first.body["id"], json!(ada.id));
    assert_eq!(first.body["display_name"], "Ada L");
    // After the binding, the e-mail address identifies no caller.
    me(&world, &login("sub-2", "ada@example.com", json!(true))).await.refused(403, "unknown_principal");
    me(&world, &login("sub-1", "new@example.com", json!(true))).await.assert_status(200);
    me(&world, &world.token(&json!({ "sub": "sub-1" }))).await.assert_status(200);
    let elsewhere = json!({ "sub": "sub-1", "email": "ada@example.com", "email_verified": true });
    me(&world, &world.issuers[1].token(&elsewhere).unwrap()).await.refused(403, "unknown_principal");
}

#[tokio::test]
async fn invitation_can_name_its_issuer() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let tied = UserDraft { subject: None, ..world.user_draft("ada") };
    world.person(tied, &[]).await;
    let claims = json!({ "sub": "s", "email": "ada@example.com", "email_verified": true });
    me(&world, &world.issuers[1].token(&claims).unwrap()).await.refused(403, "unknown_principal");
    me(&world, &world.token(&claims)).await.assert_status(200);
}

#[tokio::test]
async fn empty_database_has_no_admin_and_inactive_callers_get_a_reason() {
    let world = World::builder().workers(0).start().await;
    let token = world.token(&json!({ "sub": "first", "email": "first@example.com", "email_verified": true }));
    me(&world, &token).await.refused(403, "unknown_principal");
    assert_eq!(world.count("SELECT count(*) FROM users").await, 0);
    let ada = world.user("ada", &[]).await;
    world.change("UPDATE users SET is_active = false WHERE id = $1", ada.id.uuid()).await;
    me(&world, &ada.token).await.refused(403, "inactive");
}
