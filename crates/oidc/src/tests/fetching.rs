//! Tests of the source and the cache of keys.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use futures::future::join_all;
use runtime::health::LoopMonitor;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::issuer::{Answer, TestIssuer, TestKey};
use crate::{HttpSettings, OidcError};

fn header(kid: &str) -> Value {
    json!({"alg": "ES256", "kid": kid})
}

#[tokio::test]
async fn fifty_first_callers_make_one_fetch() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let verifier = issuer.verifier();
    let token = key.token(&header("k"), &issuer.claims());
    let verdicts = join_all((0..50).map(|_| verifier.verify(&token))).await;
    assert!(verdicts.iter().all(Result::is_ok));
    assert_eq!(issuer.key_hits(), 1);
}

#[tokio::test]
async fn new_key_is_found_with_one_fetch_per_thirty_seconds() {
    let (old, new) = (TestKey::p256(), TestKey::p256());
    let issuer = TestIssuer::start(&[old.jwk("old")]).await;
    let verifier = issuer.verifier();
    assert!(verifier.verify(&old.token(&header("old"), &issuer.claims())).await.is_ok());
    issuer.publish_keys(&[new.jwk("new")]);
    let token = new.token(&header("new"), &issuer.claims());
    assert_eq!(verifier.verify(&token).await, Err(OidcError::UnknownKey));
    issuer.clock.advance(TimeDelta::seconds(29));
    assert_eq!(verifier.verify(&token).await, Err(OidcError::UnknownKey));
    assert_eq!(issuer.key_hits(), 1);
    issuer.clock.advance(TimeDelta::seconds(1));
    let verdicts = join_all((0..20).map(|_| verifier.verify(&token))).await;
    assert!(verdicts.iter().all(Result::is_ok));
    assert_eq!(issuer.key_hits(), 2);
    let gone = old.token(&header("old"), &issuer.claims());
    assert_eq!(verifier.verify(&gone).await, Err(OidcError::UnknownKey));
}

#[tokio::test]
async fn keys_are_renewed_after_ten_minutes() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let verifier = issuer.verifier();
    let mut claims = issuer.claims();
    claims["exp"] = json!(super::issuer::NOW + 86_400);
    let token = key.token(&header("k"), &claims);
    for (seconds, hits) in [(0, 1), (599, 1), (1, 2), (599, 2)] {
        issuer.clock.advance(TimeDelta::seconds(seconds));
        assert!(verifier.verify(&token).await.is_ok());
        assert_eq!(issuer.key_hits(), hits);
    }
}

#[tokio::test]
async fn old_keys_serve_a_day_while_new_ones_cannot_be_had() {
    let key = TestKey::p256();
    let broken = [
        Answer::Status(500),
        Answer::Status(302),
        Answer::Raw(b"<html>".to_vec()),
        Answer::Json(json!({"keys": "none"})),
        Answer::Raw(vec![b' '; 300 * 1024]),
        Answer::Json(json!({"keys": vec![key.jwk("k"); 101]})),
    ];
    for answer in broken {
        let issuer = TestIssuer::start(&[key.jwk("k")]).await;
        let verifier = issuer.verifier();
        let mut claims = issuer.claims();
        claims["exp"] = json!(super::issuer::NOW + 172_800);
        let token = key.token(&header("k"), &claims);
        assert!(verifier.verify(&token).await.is_ok());
        issuer.publish(answer);
        issuer.clock.advance(TimeDelta::hours(23));
        assert!(verifier.verify(&token).await.is_ok() && verifier.verify(&token).await.is_ok());
        assert_eq!(issuer.key_hits(), 2, "one fetch every 30 s");
        let unknown = key.token(&header("new"), &claims);
        assert_eq!(verifier.verify(&unknown).await, Err(OidcError::KeysUnavailable));
        assert!(verifier.ready());
        issuer.clock.advance(TimeDelta::hours(1));
        assert_eq!(verifier.verify(&token).await, Err(OidcError::KeysUnavailable));
        assert!(!verifier.ready());
        assert_eq!(issuer.strays(), 0, "no redirect is followed");
        issuer.publish_keys(&[key.jwk("k")]);
        issuer.clock.advance(TimeDelta::seconds(2));
        assert!(verifier.verify(&token).await.is_ok() && verifier.ready());
    }
}

#[tokio::test]
async fn without_keys_we_cannot_tell() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[]).await;
    issuer.publish(Answer::Status(503));
    let verifier = issuer.verifier();
    let token = key.token(&header("k"), &issuer.claims());
    let verdicts = join_all((0..10).map(|_| verifier.verify(&token))).await;
    assert!(verdicts.iter().all(|verdict| *verdict == Err(OidcError::KeysUnavailable)));
    assert!(verdicts[0].as_ref().is_err_and(OidcError::is_ours));
    assert_eq!(issuer.key_hits(), 1, "a failed fetch is not repeated at once");
}

#[tokio::test]
async fn fetch_from_a_slow_or_unavailable_issuer_times_out() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let token = key.token(&header("k"), &issuer.claims());
    let soon = HttpSettings { total: Duration::from_millis(100), ..HttpSettings::default() };
    issuer.publish(Answer::Never);
    let slow = issuer.verifier_with(issuer.trusted(), &soon);
    assert_eq!(slow.verify(&token).await, Err(OidcError::KeysUnavailable));
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let mut trusted = issuer.trusted();
    trusted.jwks_url = Some(format!("http://{closed}/keys").parse().unwrap());
    let down = issuer.verifier_with(trusted, &HttpSettings::default());
    assert_eq!(down.verify(&token).await, Err(OidcError::KeysUnavailable));
}

#[tokio::test]
async fn discovery_document_of_another_issuer_is_refused() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let token = key.token(&header("k"), &issuer.claims());
    let (url, keys) = (issuer.url.clone(), format!("{}/keys", issuer.url));
    let bad = [
        json!({"issuer": "https://other.example", "jwks_uri": keys}),
        json!({"issuer": format!("{url}/"), "jwks_uri": keys}),
        json!({"issuer": url, "jwks_uri": "http://keys.example/keys"}),
        json!({"issuer": url, "jwks_uri": "file:///etc/passwd"}),
        json!({"issuer": url}),
        json!([]),
    ];
    for document in bad {
        issuer.discover(Answer::Json(document.clone()));
        let verdict = issuer.verifier().verify(&token).await;
        assert_eq!(verdict, Err(OidcError::KeysUnavailable), "{document}");
    }
    assert_eq!(issuer.key_hits(), 0);
    // A configured URL needs no document.
    let mut trusted = issuer.trusted();
    trusted.jwks_url = Some(keys.parse().unwrap());
    assert!(issuer.verifier_with(trusted, &HttpSettings::default()).verify(&token).await.is_ok());
}

#[tokio::test]
async fn keys_of_other_kinds_do_not_spoil_the_set() {
    let key = TestKey::p256();
    let others = [
        json!({"kty": "oct", "k": "AAAA", "kid": "k"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "k"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k"}),
        json!({"kty": 7}),
        json!("text"),
        key.jwk("k"),
    ];
    let issuer = TestIssuer::start(&others).await;
    let token = key.token(&header("k"), &issuer.claims());
    assert!(issuer.verifier().verify(&token).await.is_ok());
}

#[tokio::test]
async fn key_that_is_written_oddly_but_unambiguously_is_used() {
    let key = TestKey::p256();
    let (plain, x) = (key.jwk("k"), key.jwk("k")["x"].as_str().unwrap().to_owned());
    let with = |field: &str, value: Value| {
        let mut jwk = plain.clone();
        jwk[field] = value;
        jwk
    };
    let bytes = URL_SAFE_NO_PAD.decode(&x).unwrap();
    let zeros = [vec![0], bytes].concat();
    let sets = [
        vec![plain.clone(), plain.clone()],
        vec![plain.clone(), with("use", json!("sig"))],
        vec![plain.clone(), with("alg", json!("ES256"))],
        vec![with("x", json!(format!("{x}=")))],
        vec![with("x", json!(super::issuer::encode(zeros)))],
        vec![with("x", json!(x.replace('-', "+").replace('_', "/")))],
        vec![plain.clone(), with("x", json!(format!("{x}=")))],
    ];
    for set in sets {
        let issuer = TestIssuer::start(&set).await;
        for header in [header("k"), json!({"alg": "ES256"})] {
            let token = key.token(&header, &issuer.claims());
            assert!(issuer.verifier().verify(&token).await.is_ok(), "{header} {set:?}");
        }
    }
    let other = TestIssuer::start(&[plain, TestKey::p256().jwk("k")]).await;
    let token = key.token(&header("k"), &other.claims());
    assert_eq!(
        other.verifier().verify(&token).await,
        Err(OidcError::UnknownKey),
        "equal kid, other material"
    );
}

#[tokio::test]
async fn rsa_key_with_leading_zeros_and_padding_is_one_key() {
    let key = TestKey::rsa();
    let plain = key.jwk("k");
    let n = URL_SAFE_NO_PAD.decode(plain["n"].as_str().unwrap()).unwrap();
    let mut odd = plain.clone();
    odd["n"] = json!(super::issuer::encode([vec![0], n].concat()));
    odd["e"] = json!("AAEAAQ==");
    for set in [vec![odd.clone()], vec![plain, odd]] {
        let issuer = TestIssuer::start(&set).await;
        let token = key.token(&json!({"alg": "RS256", "kid": "k"}), &issuer.claims());
        assert!(issuer.verifier().verify(&token).await.is_ok());
    }
}

#[tokio::test]
async fn issuer_that_serves_only_key_sets_is_asked_for_one() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    issuer.publish(Answer::OnlyAs("application/jwk-set+json", json!({"keys": [key.jwk("k")]})));
    let token = key.token(&header("k"), &issuer.claims());
    assert!(issuer.verifier().verify(&token).await.is_ok());
}

#[tokio::test]
async fn withdrawn_keys_are_no_longer_accepted() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let verifier = issuer.verifier();
    assert!(verifier.verify(&key.token(&header("k"), &issuer.claims())).await.is_ok());
    issuer.publish_keys(&[]);
    issuer.clock.advance(TimeDelta::minutes(10));
    let mut claims = issuer.claims();
    claims["exp"] = json!(super::issuer::NOW + 86_400);
    assert_eq!(verifier.verify(&key.token(&header("k"), &claims)).await, Err(OidcError::UnknownKey));
}

#[tokio::test]
async fn fetch_continues_after_its_caller_disconnected() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let verifier = issuer.verifier();
    let token = key.token(&header("k"), &issuer.claims());
    // One poll starts the fetch; then the caller disconnects.
    let mut first = Box::pin(verifier.verify(&token));
    assert!(futures::poll!(first.as_mut()).is_pending());
    drop(first);
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(issuer.key_hits(), 1);
}

#[tokio::test]
async fn background_task_fetches_keys_and_ends_with_draining() {
    let issuer = TestIssuer::start(&[TestKey::p256().jwk("k")]).await;
    let verifier = issuer.verifier();
    assert!(!verifier.ready());
    verifier.warm_up().await;
    assert!(verifier.ready());
    issuer.clock.advance(TimeDelta::minutes(7));
    verifier.warm_up().await;
    assert_eq!(issuer.key_hits(), 1);
    issuer.clock.advance(TimeDelta::minutes(1));
    verifier.warm_up().await;
    assert_eq!(issuer.key_hits(), 2, "renewed before a request has to wait");
    let draining = CancellationToken::new();
    draining.cancel();
    let beat = LoopMonitor::new().register("keys", Duration::from_mins(1));
    verifier.keep_warm(&draining, &beat).await;
}
