//! Tests with tokens as real providers write them.

use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::{ClaimRule, ClientId, TeamId};

fn facts(claims: &Value) -> TokenFacts {
    let text = |name: &str| claims[name].as_str().map(str::to_owned);
    TokenFacts {
        issuer: "https://idp".into(),
        subject: text("sub").unwrap(),
        email: text("email"),
        binding_email: text("email"),
        name: text("name"),
        claims: claims.as_object().unwrap().clone(),
    }
}

fn client(id: &str, rule: Option<&str>) -> MachineClient {
    MachineClient {
        id: ClientId::new(),
        client_id: id.into(),
        issuer: "https://idp".into(),
        team: TeamId::new(),
        description: None,
        rule: rule
            .map(|subject| ClaimRule { subject: subject.into(), claims: std::collections::BTreeMap::new() }),
        is_active: true,
        created_at: DateTime::UNIX_EPOCH,
        last_used_at: None,
        created_by: None,
    }
}

#[test]
fn tokens_of_machines_name_their_client() {
    let clients = [client("ci", None)];
    for (provider, claims) in [
        (
            "Auth0",
            json!({ "sub": "ci@clients", "azp": "ci", "gty": "client-credentials", "scope": "read:jobs" }),
        ),
        ("Okta", json!({ "sub": "ci", "cid": "ci", "scp": ["runners"] })),
        (
            "Keycloak",
            json!({ "sub": "3f2a", "azp": "ci", "client_id": "ci", "preferred_username": "service-account-ci",
                "email_verified": false, "scope": "openid profile email", "clientHost": "10.0.0.1", "acr": "1",
                "sid": "5", "typ": "Bearer" }),
        ),
        (
            "Keycloak without the scope `profile`",
            json!({ "sub": "3f2a", "azp": "ci", "client_id": "ci", "clientHost": "10.0.0.1", "clientAddress": "10.0.0.1" }),
        ),
        ("Entra v1", json!({ "sub": "11-22", "oid": "11-22", "tid": "t", "appid": "ci", "appidacr": "1" })),
        (
            "Entra v2",
            json!({ "sub": "11-22", "oid": "11-22", "tid": "t", "azp": "ci", "azpacr": "1", "idtyp": "app",
                "roles": ["runners"] }),
        ),
        ("Hydra, Cognito, RFC 9068", json!({ "sub": "ci", "client_id": "ci", "scope": "runners" })),
        (
            "Google",
            json!({ "sub": "ci", "azp": "ci", "email": "ci@prod.iam.gserviceaccount.com", "email_verified": true }),
        ),
        ("subject alone", json!({ "sub": "ci" })),
    ] {
        assert!(facts(&claims).choose(&clients).is_some(), "{provider}");
    }
}

#[test]
fn tokens_of_people_are_never_a_machine_clients() {
    let clients = [client("webapp", None), client("rule", Some("repo:acme/*"))];
    for claims in [
        json!({ "sub": "auth0|human-123", "azp": "webapp", "scope": "openid profile" }),
        json!({ "sub": "auth0|human-123", "azp": "webapp", "scope": "read:jobs" }),
        json!({ "sub": "jane", "cid": "webapp", "scp": ["openid"] }),
        json!({ "sub": "jane", "client_id": "webapp" }),
        json!({ "sub": "jane", "appid": "webapp", "oid": "other", "tid": "t" }),
        json!({ "sub": "same", "appid": "webapp", "oid": "same", "tid": "t", "scp": "access_as_user" }),
        json!({ "sub": "webapp", "azp": "other" }),
        json!({ "sub": "webapp", "email": "x@y" }),
        json!({ "sub": "webapp", "email": 7 }),
        json!({ "sub": "webapp", "azp": "webapp", "scope": ["openid"] }),
        json!({ "sub": "webapp", "auth_time": 1 }),
        json!({ "sub": "webapp", "nonce": "n" }),
        json!({ "sub": "webapp", "amr": ["pwd"] }),
        json!({ "sub": "webapp", "sid": "s" }),
        json!({ "sub": "webapp", "name": "Web App" }),
        json!({ "sub": "webapp", "preferred_username": "webapp" }),
        json!({ "sub": "1", "azp": "webapp", "preferred_username": "service-account-webapp", "email": "x@y" }),
        json!({ "sub": "1", "azp": "webapp", "preferred_username": "service-account-webapp", "auth_time": 1 }),
        json!({ "sub": "webapp", "azp": "webapp", "email": "x@prod.iam.gserviceaccount.com" }),
        json!({ "sub": "webapp", "email": "x@prod.iam.gserviceaccount.com", "email_verified": true }),
        json!({ "sub": "repo:acme/x", "email": "x@y" }),
        json!({ "sub": "repo:acme/x", "scope": "openid" }),
    ] {
        assert!(facts(&claims).choose(&clients).is_none(), "{claims}");
    }
}

#[test]
fn rule_speaks_for_tokens_without_a_client_id() {
    let clients =
        [client("deploy", Some("repo:octo-org/deploy:*")), client("other", Some("repo:octo-org/x:*"))];
    let of = |sub: &str| facts(&json!({ "sub": sub, "actor": "ada", "workflow": "w" }));
    let main = of("repo:octo-org/deploy:ref:refs/heads/main");
    assert_eq!(main.choose(&clients).map(|client| client.client_id.as_str()), Some("deploy"));
    assert!(of("repo:octo-org/deployer:ref").choose(&clients).is_none());
    let overlap = [client("a", Some("repo:o/*")), client("b", Some("repo:o/x*"))];
    assert!(of("repo:o/x").choose(&overlap).is_none());
    let gitlab = facts(&json!({ "sub": "project_path:g/p:ref_type:branch:ref:main", "user_login": "ada",
        "user_email": "ada@example.com", "project_path": "g/p" }));
    assert!(gitlab.choose(&[client("gitlab", Some("project_path:g/p:*"))]).is_some());
}

#[test]
fn run_claims_are_bounded() {
    let claims = json!({ "sub": "repo:o/x", "run_id": "7", "actor": "a".repeat(9000), "ref": "a\u{0}b", "jti": 5,
        "aud": "x", "event_name": ["push"] });
    let kept = facts(&claims).run_claims();
    assert_eq!(kept["actor"].as_str().unwrap().len(), 255);
    let wanted = json!({ "sub": "repo:o/x", "run_id": "7", "actor": kept["actor"], "ref": "ab", "jti": 5 });
    assert_eq!(kept, wanted);
}

#[test]
fn principals_with_the_same_letters_differ() {
    let one = Principal::new("https://a", "b").fingerprint();
    assert_ne!(one, Principal::new("https://ab", "").fingerprint());
    assert_eq!(one, Principal::new("https://a", "b").fingerprint());
}
