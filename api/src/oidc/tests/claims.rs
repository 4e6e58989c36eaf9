//! What a well-signed token must say.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::issuer::{NOW, TestIssuer, TestKey, now};
use crate::oidc::{OidcError, VerifiedToken};

struct Desk {
    issuer: TestIssuer,
    key: TestKey,
    verifier: crate::oidc::Verifier,
}

impl Desk {
    async fn new() -> Self {
        let key = TestKey::p256();
        let issuer = TestIssuer::start(&[key.jwk("k")]).await;
        let verifier = issuer.verifier();
        Self { issuer, key, verifier }
    }

    async fn show(&self, claims: &Value) -> Result<VerifiedToken, OidcError> {
        self.verifier.verify(&self.key.token(&json!({"alg": "ES256", "kid": "k"}), claims)).await
    }

    /// Shows good claims with one changed; null removes it.
    async fn show_with(&self, name: &str, value: Value) -> Result<VerifiedToken, OidcError> {
        let mut claims = self.issuer.claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        self.show(&claims).await
    }
}

#[tokio::test]
async fn times_have_a_minute_of_leeway() {
    let desk = Desk::new().await;
    let cases = [
        ("exp", NOW - 59, Ok(())),
        ("exp", NOW - 60, Err(OidcError::Expired)),
        ("exp", NOW - 86_400, Err(OidcError::Expired)),
        ("nbf", NOW + 60, Ok(())),
        ("nbf", NOW + 61, Err(OidcError::NotYetValid)),
        ("iat", NOW + 60, Ok(())),
        ("iat", NOW + 61, Err(OidcError::NotYetValid)),
    ];
    for (name, value, verdict) in cases {
        assert_eq!(desk.show_with(name, json!(value)).await.map(drop), verdict, "{name} {value}");
    }
    let fraction = desk.show_with("exp", json!(1_800_000_300.75)).await.unwrap();
    assert_eq!(fraction.expires_at, now() + TimeDelta::seconds(300));
}

#[tokio::test]
async fn a_token_ages_with_the_clock() {
    let desk = Desk::new().await;
    assert!(desk.show(&desk.issuer.claims()).await.is_ok());
    desk.issuer.clock.advance(TimeDelta::seconds(360));
    assert_eq!(desk.show(&desk.issuer.claims()).await, Err(OidcError::Expired));
}

#[tokio::test]
async fn mandatory_claims_are_missed() {
    let desk = Desk::new().await;
    for name in ["exp", "aud", "iss", "sub"] {
        let error = desk.show_with(name, Value::Null).await.unwrap_err();
        assert!(matches!(error, OidcError::Invalid(why) if why.contains(name)), "{error}");
    }
    for name in ["nbf", "iat"] {
        assert!(desk.show_with(name, Value::Null).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn times_that_are_no_times_are_refused() {
    let desk = Desk::new().await;
    for name in ["exp", "nbf", "iat"] {
        for bad in [json!("1800000300"), json!(-1), json!(1e300), json!(i64::MAX), json!(u64::MAX), json!([])]
        {
            let error = desk.show_with(name, bad.clone()).await.unwrap_err();
            assert!(matches!(error, OidcError::Invalid(_)), "{name} {bad}: {error}");
        }
    }
}

#[tokio::test]
async fn the_issuer_must_be_one_of_ours_letter_for_letter() {
    let desk = Desk::new().await;
    let url = &desk.issuer.url;
    let near =
        [format!("{url}/"), url.to_uppercase(), format!("{url}.evil.example"), "https://idp".to_owned()];
    for iss in near {
        assert_eq!(desk.show_with("iss", json!(iss)).await, Err(OidcError::UnknownIssuer), "{iss}");
    }
    let listed = desk.show_with("iss", json!([url])).await.unwrap_err();
    assert_eq!(listed.code(), "invalid_token");
}

#[tokio::test]
async fn the_audience_must_name_us() {
    let desk = Desk::new().await;
    for ours in [json!("rts-too"), json!(["other", "rts"])] {
        assert!(desk.show_with("aud", ours).await.is_ok());
    }
    for others in [json!("other"), json!([]), json!(["RTS", "rts ", ""]), json!("rts,other")] {
        assert_eq!(desk.show_with("aud", others).await, Err(OidcError::WrongAudience));
    }
    for bad in [json!(7), json!(["rts", 7]), json!({"rts": true})] {
        assert_eq!(desk.show_with("aud", bad).await.unwrap_err().code(), "invalid_token");
    }
}

#[tokio::test]
async fn the_subject_is_short_and_printable() {
    let desk = Desk::new().await;
    let long = "ü".repeat(255);
    assert_eq!(desk.show_with("sub", json!(long)).await.unwrap().subject, long);
    for bad in [json!(""), json!("x".repeat(256)), json!("a\nb"), json!("a\u{0}"), json!(7)] {
        assert_eq!(desk.show_with("sub", bad).await.unwrap_err().code(), "invalid_token");
    }
}

#[tokio::test]
async fn what_a_token_says_of_its_bearer_is_handed_on() {
    let desk = Desk::new().await;
    let mut claims = desk.issuer.claims();
    claims["email"] = json!("ada@example.com");
    claims["email_verified"] = json!("true");
    claims["preferred_username"] = json!("ada");
    claims["azp"] = json!("cli");
    claims["cid"] = json!("okta");
    claims["gty"] = json!("client-credentials");
    claims["repository"] = json!("acme/app");
    let token = desk.show(&claims).await.unwrap();
    assert_eq!((token.issuer.as_str(), token.issuer_name.as_str()), (desk.issuer.url.as_str(), "test"));
    assert_eq!(token.email_verified, Some(true));
    assert_eq!(token.grant_type.as_deref(), Some("client-credentials"));
    let facts = token.facts();
    assert_eq!(facts.email.as_deref(), Some("ada@example.com"));
    assert_eq!((facts.name.as_deref(), facts.client_id.as_deref()), (Some("ada"), Some("okta")));
    assert_eq!(facts.authorized_party.as_deref(), Some("cli"));
    assert_eq!(facts.claims["repository"], "acme/app");
    assert!(facts.personal);
}

#[tokio::test]
async fn an_unverified_email_is_no_fact_but_marks_a_person() {
    let desk = Desk::new().await;
    for no in [json!(false), json!("false"), json!("perhaps"), json!(1)] {
        let mut claims = desk.issuer.claims();
        claims["email"] = json!("ada@example.com");
        claims["email_verified"] = no;
        let facts = desk.show(&claims).await.unwrap().facts();
        assert!(facts.email.is_none() && facts.personal);
    }
    let facts = desk.show_with("email", json!("a@b\n")).await.unwrap().facts();
    assert!(facts.email.is_none() && facts.personal);
    assert!(!desk.show(&desk.issuer.claims()).await.unwrap().facts().personal);
}
