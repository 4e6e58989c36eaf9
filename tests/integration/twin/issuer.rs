//! The development issuer: its signatures verify with its published keys.

use std::time::Duration;

use dev_issuer::{Algorithm, Issuer, IssuerConfig, IssuerFault, PERSON_GRANT, Sign};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use reqwest::Client;
use serde_json::{Value, json};

use super::support::{client, read};

async fn keys(client: &Client, issuer: &Issuer) -> JwkSet {
    let found = read(client.get(format!("{}/.well-known/openid-configuration", issuer.url()))).await.unwrap();
    assert_eq!(found.body["issuer"], issuer.url());
    let keys = read(client.get(found.body["jwks_uri"].as_str().unwrap())).await.unwrap();
    serde_json::from_value(keys.body).unwrap()
}

fn check(token: &str, keys: &JwkSet, alg: Algorithm) -> Option<Value> {
    let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
    let mut rules = Validation::new(alg);
    rules.set_audience(&["runner-tokens"]);
    let key = DecodingKey::from_jwk(keys.find(&kid)?).ok()?;
    jsonwebtoken::decode::<Value>(token, &key, &rules).ok().map(|d| d.claims)
}

#[tokio::test]
async fn people_and_machines_get_tokens() {
    let (issuer, client) = (Issuer::start(IssuerConfig::default()).await.unwrap(), client());
    let keys = keys(&client, &issuer).await;
    let url = format!("{}/token", issuer.url());
    let person = client.post(&url).form(&[("grant_type", PERSON_GRANT), ("email", "ada@example.com")]);
    let person = read(person).await.unwrap();
    let claims = check(person.body["access_token"].as_str().unwrap(), &keys, Algorithm::RS256).unwrap();
    assert_eq!((&claims["sub"], &claims["iss"]), (&json!("ada"), &json!(issuer.url())));

    let form = [("grant_type", "client_credentials"), ("client_id", "ci"), ("client_secret", "ci-secret")];
    let machine = read(client.post(&url).form(&form)).await.unwrap();
    let claims = check(machine.body["access_token"].as_str().unwrap(), &keys, Algorithm::RS256).unwrap();
    assert_eq!((&claims["azp"], &claims["sub"]), (&json!("ci"), &json!("ci@clients")));
    let basic =
        client.post(&url).basic_auth("ci", Some("wrong")).form(&[("grant_type", "client_credentials")]);
    assert_eq!(read(basic).await.unwrap().status, 401);
    let stranger = client.post(&url).form(&[("grant_type", PERSON_GRANT), ("sub", "mallory")]);
    assert_eq!(read(stranger).await.unwrap().status, 400);
    assert_eq!((issuer.fetches().discovery, issuer.fetches().jwks, issuer.fetches().tokens), (1, 1, 4));
}

#[tokio::test]
async fn device_is_confirmed_in_a_browser() {
    let (issuer, client) = (Issuer::start(IssuerConfig::default()).await.unwrap(), client());
    let begun = read(client.post(format!("{}/device/code", issuer.url()))).await.unwrap();
    let code = begun.body["device_code"].as_str().unwrap();
    let form = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code)];
    let poll = || read(client.post(format!("{}/token", issuer.url())).form(&form));
    assert_eq!(poll().await.unwrap().body["error"], "authorization_pending");
    let page = format!("{}&person=bob", begun.body["verification_uri_complete"].as_str().unwrap());
    assert!(client.get(page).send().await.unwrap().status().is_success());
    assert_eq!(poll().await.unwrap().status, 200);
    assert_eq!(poll().await.unwrap().body["error"], "expired_token", "a code works once");
}

#[tokio::test]
async fn every_algorithm_can_be_checked() {
    let algorithms =
        vec![Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
    let config = IssuerConfig { algorithms: algorithms.clone(), ..IssuerConfig::default() };
    let issuer = Issuer::start(config).await.unwrap();
    let keys = keys(&client(), &issuer).await;
    let claims = json!({"sub": "x", "aud": "runner-tokens", "exp": chrono::Utc::now().timestamp() + 60});
    for alg in algorithms {
        let kid = issuer.kid_for(alg).unwrap();
        let header = json!({"alg": format!("{alg:?}"), "kid": kid});
        let token = issuer.sign_with(&kid, &Sign::With(alg), &header, &claims).unwrap();
        assert!(check(&token, &keys, alg).is_some(), "{alg:?}");
    }
}

#[tokio::test]
async fn issuer_signs_arbitrary_headers_and_claims() {
    let issuer = Issuer::start(IssuerConfig::default()).await.unwrap();
    let kid = issuer.kids().remove(0);
    let plain = issuer.sign_with(&kid, &Sign::Nothing, &json!({"alg": "none"}), &json!({"sub": 1})).unwrap();
    assert!(plain.ends_with('.'));
    let pem = issuer.public_pem(&kid).unwrap();
    let header = json!({"alg": "HS256", "kid": kid});
    let forged = issuer.sign_with(&kid, &Sign::Hmac(pem.as_bytes()), &header, &json!({"sub": "x"})).unwrap();
    assert_eq!(forged.split('.').count(), 3);
    let bare = issuer.token(&json!({"sub": "x", "exp": null})).unwrap();
    let body = bare.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, body).unwrap();
    assert!(serde_json::from_slice::<Value>(&claims).unwrap().get("exp").is_none());
}

#[tokio::test]
async fn rotated_key_signs_new_tokens() {
    let (issuer, client) = (Issuer::start(IssuerConfig::default()).await.unwrap(), client());
    let old = issuer.person_token("ada").unwrap();
    let second = issuer.rotate(Algorithm::ES256, true).unwrap();
    let both = keys(&client, &issuer).await;
    assert_eq!(both.keys.len(), 2);
    assert!(check(&old, &both, Algorithm::RS256).is_some());
    let new = issuer.person_token("ada").unwrap();
    assert_eq!(jsonwebtoken::decode_header(&new).unwrap().kid, Some(second));
    issuer.rotate(Algorithm::RS256, false).unwrap();
    let last = keys(&client, &issuer).await;
    assert_eq!(last.keys.len(), 1);
    assert!(check(&new, &last, Algorithm::ES256).is_none());
}

#[tokio::test]
async fn discovery_and_keys_fail_when_a_fault_is_set() {
    let (issuer, client) = (Issuer::start(IssuerConfig::default()).await.unwrap(), client());
    let get = || client.get(issuer.jwks_url()).send();
    issuer.fault_jwks(Some(IssuerFault::Down));
    assert_eq!(get().await.unwrap().status(), 503);
    issuer.fault_jwks(Some(IssuerFault::Hangup));
    assert!(get().await.is_err());
    issuer.fault_jwks(Some(IssuerFault::Huge(5_000_000)));
    assert!(get().await.unwrap().bytes().await.unwrap().len() > 5_000_000);
    issuer.fault_jwks(Some(IssuerFault::Malformed));
    assert!(get().await.unwrap().json::<Value>().await.is_err());
    issuer.fault_jwks(Some(IssuerFault::Wrong));
    assert_eq!(get().await.unwrap().json::<Value>().await.unwrap()["keys"], json!([]));
    issuer.fault_jwks(Some(IssuerFault::Slow(Duration::from_millis(1))));
    assert!(get().await.is_ok());
    assert_eq!(issuer.fetches().jwks, 6);
    issuer.fault_discovery(Some(IssuerFault::Wrong));
    let found =
        client.get(format!("{}/.well-known/openid-configuration", issuer.url())).send().await.unwrap();
    assert_ne!(found.json::<Value>().await.unwrap()["issuer"], issuer.url());
}
