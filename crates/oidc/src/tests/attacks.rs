//! Tests with forged, modified and misused tokens.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::issuer::{TestIssuer, TestKey, encode};
use crate::OidcError;

#[tokio::test]
async fn every_algorithm_of_the_allow_list_is_accepted() {
    let (p256, p384, ed, rsa) = (TestKey::p256(), TestKey::p384(), TestKey::ed25519(), TestKey::rsa());
    let keys = [p256.jwk("p256"), p384.jwk("p384"), ed.jwk("ed"), rsa.jwk("rsa")];
    let issuer = TestIssuer::start(&keys).await;
    let verifier = issuer.verifier();
    let mut cases = vec![("ES256", &p256, "p256"), ("ES384", &p384, "p384"), ("EdDSA", &ed, "ed")];
    cases.extend(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(|name| (name, &rsa, "rsa")));
    for (algorithm, key, kid) in cases {
        let named = key.token(&json!({"alg": algorithm, "kid": kid, "typ": "JWT"}), &issuer.claims());
        let token = verifier.verify(&named).await.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(token.subject, "ada");
        let unnamed = key.token(&json!({"alg": algorithm}), &issuer.claims());
        assert!(verifier.verify(&unnamed).await.is_ok(), "{algorithm} without kid");
    }
    assert_eq!(issuer.key_hits(), 1);
}

#[tokio::test]
async fn none_and_shared_secrets_are_refused() {
    let rsa = TestKey::rsa();
    let issuer = TestIssuer::start(&[rsa.jwk("k")]).await;
    let verifier = issuer.verifier();
    for algorithm in ["none", "None", "NONE", "HS256", "HS384", "HS512", "ES512", "rs256", "ES256K", ""] {
        let header = encode(json!({"alg": algorithm, "kid": "k"}).to_string());
        let message = format!("{header}.{}", encode(issuer.claims().to_string()));
        let public = rsa.jwk("k").to_string();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()), message.as_bytes());
        for signature in [String::new(), encode(tag)] {
            let verdict = verifier.verify(&format!("{message}.{signature}")).await;
            assert_eq!(verdict, Err(OidcError::UnsupportedAlgorithm), "{algorithm}");
        }
    }
    assert_eq!(issuer.key_hits(), 0);
}

#[tokio::test]
async fn key_serves_only_its_own_algorithm_and_use() {
    let rsa = TestKey::rsa();
    let with = |field: &str, value: Value| {
        let mut jwk = rsa.jwk("k");
        jwk[field] = value;
        jwk
    };
    let cases = [
        (with("alg", json!("RS512")), OidcError::UnknownKey),
        (with("alg", json!("RSA-OAEP")), OidcError::UnknownKey),
        (with("use", json!("enc")), OidcError::UnknownKey),
        (with("key_ops", json!(["encrypt"])), OidcError::UnknownKey),
        (with("kty", json!("EC")), OidcError::UnknownKey),
        (with("kty", json!("oct")), OidcError::UnknownKey),
        (TestKey::p256().jwk("k"), OidcError::UnknownKey),
        (with("n", json!(encode([0xff; 64]))), OidcError::BadSignature),
    ];
    for (jwk, error) in cases {
        let issuer = TestIssuer::start(std::slice::from_ref(&jwk)).await;
        let token = rsa.token(&json!({"alg": "RS256", "kid": "k"}), &issuer.claims());
        assert_eq!(issuer.verifier().verify(&token).await, Err(error), "{jwk}");
    }
}

#[tokio::test]
async fn key_id_is_compared_and_never_used_as_a_path() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("good")]).await;
    let verifier = issuer.verifier();
    let url = format!("{}/stray", issuer.url);
    for kid in ["bad", "../../keys/good", "/dev/null", &url, "' OR 1=1 --", "good\0", "GOOD", ""] {
        let token = key.token(&json!({"alg": "ES256", "kid": kid}), &issuer.claims());
        assert_eq!(verifier.verify(&token).await, Err(OidcError::UnknownKey), "{kid}");
    }
    for kid in [json!(1), json!(null), json!(["good"]), json!("k".repeat(513))] {
        let token = key.token(&json!({"alg": "ES256", "kid": kid}), &issuer.claims());
        assert_eq!(verifier.verify(&token).await.unwrap_err().code(), "invalid_token");
    }
    assert_eq!(issuer.strays(), 0);
    assert_eq!(issuer.key_hits(), 1);
}

#[tokio::test]
async fn keys_a_token_brings_along_are_not_looked_at() {
    let (ours, theirs) = (TestKey::p256(), TestKey::p256());
    let issuer = TestIssuer::start(&[ours.jwk("k")]).await;
    let url = format!("{}/stray", issuer.url);
    let header =
        json!({"alg": "ES256", "kid": "k", "jku": url, "x5u": url, "jwk": theirs.jwk("k"), "x5c": ["AA=="]});
    let verifier = issuer.verifier();
    let forged = theirs.token(&header, &issuer.claims());
    assert_eq!(verifier.verify(&forged).await, Err(OidcError::BadSignature));
    assert!(verifier.verify(&ours.token(&header, &issuer.claims())).await.is_ok());
    assert_eq!(issuer.strays(), 0);
}

#[tokio::test]
async fn two_keys_that_fit_are_both_refused() {
    let (one, two) = (TestKey::p256(), TestKey::p256());
    let issuer = TestIssuer::start(&[one.jwk("k"), two.jwk("k")]).await;
    let verifier = issuer.verifier();
    for header in [json!({"alg": "ES256", "kid": "k"}), json!({"alg": "ES256"})] {
        assert_eq!(verifier.verify(&one.token(&header, &issuer.claims())).await, Err(OidcError::UnknownKey));
    }
    // A key of another type may have an equal `kid`.
    let ed = TestKey::ed25519();
    let mixed = TestIssuer::start(&[one.jwk("k"), ed.jwk("k")]).await;
    let token = one.token(&json!({"alg": "ES256", "kid": "k"}), &mixed.claims());
    assert!(mixed.verifier().verify(&token).await.is_ok());
}

#[tokio::test]
async fn changed_token_does_not_verify() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let verifier = issuer.verifier();
    let token = key.token(&json!({"alg": "ES256", "kid": "k"}), &issuer.claims());
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims = issuer.claims();
    claims["sub"] = json!("root");
    let swapped = format!("{}.{}.{}", parts[0], encode(claims.to_string()), parts[2]);
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    let zeros = format!("{}.{}.{}", parts[0], parts[1], encode([0; 64]));
    for forged in [swapped, unsigned, zeros] {
        assert_eq!(verifier.verify(&forged).await, Err(OidcError::BadSignature));
    }
}

#[tokio::test]
async fn malformed_tokens_are_refused_before_any_fetch() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let verifier = issuer.verifier();
    let good = key.token(&json!({"alg": "ES256", "kid": "k"}), &issuer.claims());
    let (head, tail) = good.split_once('.').unwrap();
    let critical = key.token(&json!({"alg": "ES256", "kid": "k", "crit": ["x"], "x": 1}), &issuer.claims());
    let logout = key.token(&json!({"alg": "ES256", "kid": "k", "typ": "logout+jwt"}), &issuer.claims());
    let long_header = key.token(&json!({"alg": "ES256", "pad": "x".repeat(8000)}), &issuer.claims());
    let cases = [
        String::new(),
        "a".to_owned(),
        "a.b".to_owned(),
        "..".to_owned(),
        format!("{good}.extra.more"),
        format!("{head}=.{tail}"),
        format!(" {good}"),
        good.replacen('.', "\n.", 1),
        format!("{}.{tail}", encode("[]")),
        format!("{}.{tail}", encode("{\"alg\":7}")),
        format!("{}.{tail}", encode("{}")),
        format!("{head}.{}.AA", encode("[".repeat(5000))),
        format!("{head}.{}.AA", encode([0xff, 0xfe])),
        format!("é{good}"),
        critical,
        logout,
        long_header,
    ];
    for bad in cases {
        let error = verifier.verify(&bad).await.unwrap_err();
        assert_eq!(error.code(), "invalid_token", "{bad}");
        assert!(!error.to_string().contains(head));
    }
    assert_eq!(issuer.key_hits(), 0);
}

#[tokio::test]
async fn signature_of_loose_base64_is_refused() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let good = key.token(&json!({"alg": "ES256", "kid": "k"}), &issuer.claims());
    let verifier = issuer.verifier();
    assert!(verifier.verify(&good).await.is_ok());
    // The last of 86 characters has four unused bits; setting one must not create a second valid token.
    let (body, last) = good.split_at(good.len() - 1);
    let next = char::from(last.as_bytes()[0] + 1);
    for loose in [format!("{good}=="), format!("{good}\n"), format!("{body}{next}")] {
        assert_eq!(verifier.verify(&loose).await, Err(OidcError::BadSignature));
    }
}

#[tokio::test]
async fn twenty_kilobytes_are_not_looked_at() {
    let key = TestKey::p256();
    let issuer = TestIssuer::start(&[key.jwk("k")]).await;
    let mut claims = issuer.claims();
    claims["pad"] = json!("x".repeat(15_000));
    let token = key.token(&json!({"alg": "ES256", "kid": "k"}), &claims);
    assert!(token.len() > 20_000);
    let error = issuer.verifier().verify(&token).await.unwrap_err();
    assert_eq!((error.clone(), error.code()), (OidcError::TooLarge, "token_too_large"));
    assert_eq!(issuer.key_hits(), 0);
}
