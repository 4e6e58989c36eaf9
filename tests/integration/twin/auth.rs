//! App JWTs, installation tokens and permissions of the twin.

use std::time::Duration;

use github_twin::{AppKey, PersonalToken, TwinConfig, ViolationKind};
use serde_json::{Value, json};

use super::support::{Github, JIT, RUNNERS, jwt, now, read, wanted};

const MINT: &str = "/app/installations/5151515/access_tokens";

#[tokio::test]
async fn invalid_app_jwt_is_refused() {
    let github = Github::start().await;
    let pem = github.twin.app_key().unwrap().private_pem().to_owned();
    let good = json!({"iss": "424242", "iat": now() - 60, "exp": now() + 300});
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        jwt(&pem, &claims)
    };
    let stranger = AppKey::generate().unwrap();
    for (token, status) in [
        (jwt(&pem, &good), 201),
        (with("iss", json!(424_242)), 201),
        (with("iss", json!("7")), 401),
        (with("iat", json!(now() + 120)), 401),
        (with("iat", json!("now")), 401),
        (with("exp", json!(now() + 700)), 401),
        (with("exp", json!(now() - 1)), 401),
        (jwt(stranger.private_pem(), &good), 401),
        (format!("{}x", jwt(&pem, &good)), 401),
    ] {
        let reply = github.with_token(&token, "POST", MINT, &Value::Null).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    assert_eq!(github.twin.ledger().count(ViolationKind::BadToken), 7);
}

#[tokio::test]
async fn tokens_are_long_opaque_and_expire() {
    let github = Github::start().await;
    assert!(github.token.starts_with("ghs_424242_") && github.token.len() > 400);
    assert_eq!(github.get(RUNNERS).await.status, 200);
    github.twin.advance(Duration::from_secs(3601));
    let late = github.get(RUNNERS).await;
    assert_eq!((late.status, late.message()), (401, "Bad credentials"));
    assert_eq!(github.twin.ledger().count(ViolationKind::ExpiredToken), 1);
    let fresh = github.mint().await;
    assert_eq!(github.with_token(&fresh, "GET", RUNNERS, &Value::Null).await.status, 200);
}

#[tokio::test]
async fn enterprise_accepts_a_personal_token_and_no_app() {
    const RUNNERS_THERE: &str = "/enterprises/initech/actions/runners";
    let personal_tokens = vec![
        PersonalToken::new("ghp_enterprise", "manage_runners:enterprise"),
        PersonalToken::new("ghp_org", "admin:org"),
    ];
    let enterprises = vec!["initech".to_owned()];
    let github = Github::with(TwinConfig { enterprises, personal_tokens, ..TwinConfig::default() }).await;
    let refused = github.get(RUNNERS_THERE).await;
    assert_eq!((refused.status, refused.message()), (403, "Resource not accessible by integration"));
    assert_eq!(github.app("GET", RUNNERS_THERE, &Value::Null).await.status, 403);
    for (token, path, status) in [
        ("ghp_enterprise", RUNNERS_THERE, 200),
        ("ghp_enterprise", "/enterprises/other/actions/runners", 404),
        ("ghp_enterprise", RUNNERS, 404),
        ("ghp_org", RUNNERS_THERE, 404),
        ("ghp_org", RUNNERS, 200),
        ("ghp_nobody", RUNNERS_THERE, 401),
    ] {
        let reply = github.with_token(token, "GET", path, &Value::Null).await;
        assert_eq!(reply.status, status, "{token} {path}");
    }
}

#[tokio::test]
async fn wrong_credential_is_refused() {
    let github = Github::start().await;
    let anonymous = read(github.request("GET", RUNNERS)).await.unwrap();
    assert_eq!(anonymous.status, 401);
    assert_eq!(github.with_token("ghs_nobody", "GET", RUNNERS, &Value::Null).await.status, 401);
    assert_eq!(github.app("GET", RUNNERS, &Value::Null).await.status, 403, "the App is no installation");
    assert_eq!(github.get("/app").await.status, 401, "an installation is not the App");
    assert_eq!(github.get("/orgs/other/actions/runners").await.status, 404, "not its organisation");
    let old = github.request("GET", RUNNERS).header("authorization", format!("token {}", github.token));
    assert_eq!(read(old).await.unwrap().status, 200, "the older scheme works too");
}

#[tokio::test]
async fn unknown_credentials_are_not_counted_and_get_no_limit_headers() {
    let github = Github::start().await;
    let refused = github.with_token("ghs_nobody", "GET", RUNNERS, &Value::Null).await;
    assert_eq!((refused.status, refused.message()), (401, "Bad credentials"));
    assert!(refused.headers.keys().all(|name| !name.as_str().starts_with("x-ratelimit")), "{refused:?}");
    let anonymous = read(github.request("GET", RUNNERS)).await.unwrap();
    assert_eq!(
        (anonymous.status, anonymous.header("x-ratelimit-remaining")),
        (401, Some("59")),
        "{anonymous:?}"
    );
}

#[tokio::test]
async fn token_request_without_permissions_gets_all_of_them() {
    let github = Github::start().await;
    let all = github.app("POST", MINT, &json!({})).await;
    let same = github.app("POST", MINT, &json!({ "permissions": {} })).await;
    assert_eq!((same.status, &same.body["permissions"]), (201, &all.body["permissions"]));
    assert!(same.body["permissions"].as_object().is_some_and(|granted| !granted.is_empty()));
}

#[tokio::test]
async fn headers_are_checked() {
    let github = Github::start().await;
    let silent = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap();
    let request = silent.get(format!("{}{RUNNERS}", github.twin.url())).bearer_auth(&github.token);
    assert_eq!(read(request).await.unwrap().status, 403);
    let odd = github
        .request("GET", RUNNERS)
        .bearer_auth(&github.token)
        .header("x-github-api-version", "1999-01-01");
    assert_eq!(read(odd).await.unwrap().status, 400);
    let ledger = github.twin.ledger();
    assert_eq!(ledger.count(ViolationKind::NoUserAgent), 1);
    assert_eq!(ledger.count(ViolationKind::UnknownApiVersion), 1);
}

#[tokio::test]
async fn permission_can_be_missing() {
    let github = Github::start().await;
    let narrow = json!({"permissions": {"organization_self_hosted_runners": "read"}});
    let reply = github.app("POST", MINT, &narrow).await;
    let token = reply.body["token"].as_str().unwrap();
    assert_eq!(github.with_token(token, "GET", RUNNERS, &Value::Null).await.status, 200);
    let refused = github.with_token(token, "POST", JIT, &wanted("box")).await;
    assert_eq!((refused.status, refused.message()), (403, "Resource not accessible by integration"));
    assert_eq!(
        refused.header("x-accepted-github-permissions"),
        Some("organization_self_hosted_runners=write")
    );
    github.twin.control().permit(5_151_515, "organization_self_hosted_runners", None).unwrap();
    assert_eq!(github.get(RUNNERS).await.status, 403);
}

#[tokio::test]
async fn suspended_installation_is_refused() {
    let github = Github::start().await;
    github.twin.control().suspend(5_151_515, true).unwrap();
    assert_eq!(github.get(RUNNERS).await.status, 403);
    assert_eq!(github.app("POST", MINT, &Value::Null).await.status, 403);
    github.twin.control().suspend(5_151_515, false).unwrap();
    assert_eq!(github.get(RUNNERS).await.status, 200);
}

#[tokio::test]
async fn each_installation_sees_its_own_organisation() {
    let more_installations = vec![(77, "globex".to_owned())];
    let github = Github::with(TwinConfig { more_installations, ..TwinConfig::default() }).await;
    let reply = github.app("POST", "/app/installations/77/access_tokens", &Value::Null).await;
    let token = reply.body["token"].as_str().unwrap();
    let path = "/orgs/globex/actions/runners";
    assert_eq!(github.with_token(token, "GET", path, &Value::Null).await.status, 200);
    assert_eq!(github.with_token(token, "GET", RUNNERS, &Value::Null).await.status, 404);
    assert_eq!(github.get(path).await.status, 404);
}
