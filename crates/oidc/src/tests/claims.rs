//! Tests of the claims that a correctly signed token must have.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::issuer::{NOW, TestIssuer, TestKey, now};
use crate::{OidcError, VerifiedToken};

struct Desk {
    issuer: TestIssuer,
    key: TestKey,
    verifier: crate::Verifier,
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

    /// Verifies a token with one claim changed; null removes it.
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
async fn token_validity_follows_the_clock() {
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
async fn issuer_must_equal_a_configured_one_exactly() {
    let desk = Desk::new().await;
    let url = &desk.issuer.url;
    let said = format!("{url}/");
    let slash = OidcError::IssuerSlash { said: said.clone(), trusted: url.clone() };
    assert!(
        slash.to_string().contains(&format!("`{url}`")) && slash.to_string().contains(&format!("`{said}`"))
    );
    assert_eq!(desk.show_with("iss", json!(said)).await, Err(slash));
    let near = [url.to_uppercase(), format!("{url}.evil.example"), "https://idp".to_owned()];
    for iss in near {
        assert_eq!(desk.show_with("iss", json!(iss)).await, Err(OidcError::UnknownIssuer), "{iss}");
    }
    let listed = desk.show_with("iss", json!([url])).await.unwrap_err();
    assert_eq!(listed.code(), "invalid_token");
}

#[tokio::test]
async fn audience_must_name_us() {
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
async fn subject_is_short_and_printable() {
    let desk = Desk::new().await;
    let long = "ü".repeat(1024);
    assert_eq!(desk.show_with("sub", json!(long)).await.unwrap().subject, long);
    for bad in [json!(""), json!("x".repeat(1025)), json!("a\nb"), json!("a\u{0}"), json!(7)] {
        assert_eq!(desk.show_with("sub", bad).await.unwrap_err().code(), "invalid_token");
    }
    let number = desk.show_with("sub", json!(7)).await.unwrap_err().to_string();
    let none = desk.show_with("sub", Value::Null).await.unwrap_err().to_string();
    assert!(number.contains("number") && none.contains("no `sub`"), "{number} {none}");
}

#[tokio::test]
async fn claims_of_a_token_are_passed_on() {
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
    let facts = token.facts();
    assert_eq!(facts.email.as_deref(), Some("ada@example.com"));
    assert_eq!(facts.binding_email.as_deref(), Some("ada@example.com"));
    assert_eq!(facts.name.as_deref(), Some("ada"));
    assert_eq!(facts.claims["repository"], "acme/app");
    assert!(facts.is_personal());
}

#[tokio::test]
async fn unverified_email_is_ignored_but_marks_a_person() {
    let desk = Desk::new().await;
    for no in [json!(false), json!("false"), json!("perhaps"), json!(1), Value::Null] {
        let mut claims = desk.issuer.claims();
        claims["email"] = json!("ada@example.com");
        claims["email_verified"] = no;
        let facts = desk.show(&claims).await.unwrap().facts();
        assert!(facts.binding_email.is_none() && facts.is_personal());
    }
    let facts = desk.show_with("email", json!("ada@example.com")).await.unwrap().facts();
    assert!(facts.binding_email.is_none(), "a missing claim does not verify the address");
    let facts = desk.show_with("email", json!("a@b\n")).await.unwrap().facts();
    assert!(facts.email.is_none() && facts.is_personal());
    assert!(!desk.show(&desk.issuer.claims()).await.unwrap().facts().is_personal());
}

#[tokio::test]
async fn issuer_with_trusted_emails_binds_without_email_verified() {
    let desk = Desk::new().await;
    let mut claims = desk.issuer.claims();
    claims["email"] = json!("ada@example.com");
    let token = desk.key.token(&json!({"alg": "ES256", "kid": "k"}), &claims);
    for (email_trusted, binds_people, binds) in
        [(true, None, true), (true, Some(true), true), (true, Some(false), false), (false, Some(true), false)]
    {
        let mut trusted = desk.issuer.trusted();
        (trusted.policy.email_trusted, trusted.policy.binds_people) = (email_trusted, binds_people);
        let verifier = desk.issuer.verifier_with(trusted, &crate::HttpSettings::default());
        let facts = verifier.verify(&token).await.unwrap().facts();
        assert_eq!(facts.binding_email.is_some(), binds, "{email_trusted} {binds_people:?}");
    }
}

#[tokio::test]
async fn issuer_with_email_domains_binds_no_other_domain() {
    let desk = Desk::new().await;
    let mut trusted = desk.issuer.trusted();
    trusted.policy.email_domains = vec!["corp.example".to_owned()];
    let verifier = desk.issuer.verifier_with(trusted, &crate::HttpSettings::default());
    for (email, binds) in [
        ("ada@corp.example", true),
        ("ada@CORP.example", true),
        ("ada@mail.corp.example", false),
        ("ada@evilcorp.example", false),
        ("ada@corp.example@evil.example", false),
        ("ada@corp.example.", false),
    ] {
        let mut claims = desk.issuer.claims();
        (claims["email"], claims["email_verified"]) = (json!(email), json!(true));
        let token = desk.key.token(&json!({"alg": "ES256", "kid": "k"}), &claims);
        let facts = verifier.verify(&token).await.unwrap().facts();
        assert_eq!(facts.binding_email.is_some(), binds, "{email}");
    }
}

#[tokio::test]
async fn token_older_or_longer_than_its_issuer_allows_is_refused() {
    let desk = Desk::new().await;
    let day = 86_400;
    let mut trusted = desk.issuer.trusted();
    trusted.policy.max_token_age = Some(std::time::Duration::from_hours(24));
    let verifier = desk.issuer.verifier_with(trusted, &crate::HttpSettings::default());
    for (iat, exp, fits) in [
        (Some(NOW), NOW + day, true),
        (Some(NOW), NOW + 4_102_444_800, false),
        (None, NOW + 2 * day, false),
        (Some(NOW - 2 * day), NOW + 60, false),
        (None, NOW + 60, true),
    ] {
        let mut claims = desk.issuer.claims();
        (claims["exp"], claims["iat"]) = (json!(exp), json!(iat.unwrap_or(NOW)));
        if iat.is_none() {
            claims.as_object_mut().unwrap().remove("iat");
        }
        let token = desk.key.token(&json!({"alg": "ES256", "kid": "k"}), &claims);
        let verdict = verifier.verify(&token).await.map(drop);
        assert_eq!(
            verdict,
            if fits { Ok(()) } else { Err(OidcError::LivesTooLong { hours: 24 }) },
            "{iat:?} {exp}"
        );
    }
}

#[tokio::test]
async fn kinds_of_tokens_are_accepted_as_the_issuer_says() {
    use runtime::config::AcceptedTokens::{Access, Any, Id};
    let desk = Desk::new().await;
    let cases = [
        (json!({"typ": "at+jwt"}), json!({}), [true, true, false]),
        (json!({"typ": "id+jwt"}), json!({}), [true, false, true]),
        (json!({"typ": "JWT"}), json!({"typ": "ID"}), [true, false, true]),
        (json!({}), json!({"typ": "Bearer"}), [true, true, false]),
        (json!({}), json!({"nonce": "n"}), [true, false, true]),
        (json!({}), json!({"scope": "x"}), [true, true, false]),
        (json!({}), json!({}), [true, true, true]),
        (json!({}), json!({"typ": "Refresh"}), [false, false, false]),
        (json!({}), json!({"typ": "Offline"}), [false, false, false]),
    ];
    for (header, more, fits) in cases {
        let mut claims = desk.issuer.claims();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut whole = json!({"alg": "ES256", "kid": "k"});
        whole.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        let token = desk.key.token(&whole, &claims);
        for (accept, fits) in [Any, Access, Id].into_iter().zip(fits) {
            let mut trusted = desk.issuer.trusted();
            trusted.policy.accept = accept;
            let verifier = desk.issuer.verifier_with(trusted, &crate::HttpSettings::default());
            assert_eq!(verifier.verify(&token).await.is_ok(), fits, "{accept:?} {header} {more}");
        }
    }
}
