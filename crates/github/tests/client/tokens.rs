//! Installation tokens: minting, sharing, renewal and replacement.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};

use chrono::{TimeDelta, Utc};
use github::{
    Fit, GitHub, GitHubError, JitConfigRequest, KeySource, NoopObserver, RetryAdvice, StoredToken,
    TokenFuture, TokenStore,
};
use tokio::task::JoinSet;

use crate::fake::{Fake, Key, app_settings, client, date, give, jit_answer, minted, runner};

fn jit() -> JitConfigRequest {
    JitConfigRequest { name: "n".into(), runner_group_id: 1, labels: vec![], work_folder: "_work".into() }
}

async fn twenty(github: &GitHub) -> Vec<Result<(), GitHubError>> {
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let github = github.clone();
        calls.spawn(async move { github.get_runner(1).await.map(drop) });
    }
    calls.join_all().await
}

#[tokio::test]
async fn twenty_calls_mint_once() {
    let fake = Fake::start(|_, _| give(200, runner(1, "a"))).await;
    let (github, _) = fake.app();
    assert!(twenty(&github).await.iter().all(Result::is_ok));
    assert_eq!((fake.mints(), fake.calls().len()), (1, 20));
    assert!(fake.calls().iter().all(|call| call.bearer() == "ghs_token_1"));
}

#[tokio::test]
async fn waiters_of_a_failed_mint_share_its_failure() {
    let fake = Fake::with_mint(|_, _| give(500, ""), |_, _| give(200, runner(1, "a"))).await;
    let (github, _) = fake.app();
    // On this single thread all twenty calls wait before the first response can be read.
    assert!(twenty(&github).await.iter().all(Result::is_err));
    assert_eq!((fake.mints(), fake.calls().len()), (1, 0));
    assert!(github.get_runner(1).await.is_err());
    assert_eq!(fake.mints(), 2, "a later call mints again");
}

#[tokio::test]
async fn jwt_has_the_claims_github_requires() {
    let fake = Fake::start(|_, _| give(200, r#"{"id":1,"name":"app"}"#)).await;
    let (github, key) = fake.app();
    github.get_app().await.unwrap();
    github.get_app().await.unwrap();
    let claims: Vec<_> = fake.calls().iter().map(|call| key.open(call.bearer()).unwrap()).collect();
    let now = Utc::now().timestamp();
    let at = |name: &str| claims[0][name].as_i64().unwrap();
    assert_eq!(claims[0]["iss"], "4711");
    assert!(at("iat") <= now - 60 && at("exp") <= now + 600 && at("exp") > now);
    assert_ne!(claims[0]["jti"], claims[1]["jti"]);
}

/// Returns a server that accepts all tokens but the first. In responses other than mints its clock is `later` seconds
/// ahead.
async fn only_newer_tokens_are_known(later: i64) -> Fake {
    let body = jit_answer(1, "n").0;
    Fake::start(move |seen, _| {
        let answer = match seen.bearer() {
            "ghs_token_1" => give(401, r#"{"message":"Bad credentials"}"#),
            _ => give(201, body.clone()),
        };
        answer.with("date", date(later))
    })
    .await
}

#[tokio::test]
async fn void_token_is_replaced_once() {
    let fake = only_newer_tokens_are_known(31).await;
    let (github, _) = fake.app();
    github.create_jit_config(&jit()).await.unwrap();
    github.create_jit_config(&jit()).await.unwrap();
    assert_eq!((fake.mints(), fake.calls().len()), (2, 3));
}

#[tokio::test]
async fn refused_new_token_is_tried_again_and_not_replaced() {
    for (status, message) in [(401, "Bad credentials"), (403, "Resource not accessible by integration")] {
        let fake = Fake::start(move |seen, n| {
            assert_eq!(seen.bearer(), "ghs_token_1");
            if n <= 20 {
                give(status, format!(r#"{{"message":"{message}"}}"#))
            } else {
                give(200, runner(1, "a"))
            }
        })
        .await;
        let (github, _) = fake.app();
        for answer in twenty(&github).await {
            let error = answer.unwrap_err();
            let RetryAdvice::Wait(wait) = error.retry_advice() else { panic!("{error:?}") };
            assert!((1_000..=3_000).contains(&wait.as_millis()), "{wait:?}");
            assert!(matches!(error, GitHubError::TokenTooNew { .. }));
        }
        github.get_runner(1).await.unwrap();
        assert_eq!((fake.mints(), fake.calls().len()), (1, 21), "no new token, and nothing resent by itself");
    }
}

#[tokio::test]
async fn limit_or_suspension_counts_at_any_token_age() {
    for text in ["You have exceeded a secondary rate limit", "This installation has been suspended"] {
        let fake = Fake::start(move |_, _| give(403, format!(r#"{{"message":"{text}"}}"#))).await;
        let error = fake.app().0.get_runner(1).await.unwrap_err();
        assert!(!matches!(error, GitHubError::TokenTooNew { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn tokens_that_are_never_accepted_need_the_operator() {
    let age = Arc::new(AtomicI64::new(0));
    let (minting, calling) = (Arc::clone(&age), Arc::clone(&age));
    let fake = Fake::with_mint(
        move |_, n| {
            let now = minting.load(Ordering::SeqCst);
            minted(n, TimeDelta::seconds(3600 + now)).with("date", date(now))
        },
        move |_, _| {
            let now = calling.load(Ordering::SeqCst);
            give(401, r#"{"message":"Bad credentials"}"#).with("date", date(now))
        },
    )
    .await;
    let (github, _) = fake.app();
    let after = async |seconds: i64| {
        age.fetch_add(seconds, Ordering::SeqCst);
        let error = github.delete_runner(1).await.unwrap_err();
        (matches!(error, GitHubError::TokenTooNew { .. }), error.retry_advice(), fake.mints())
    };
    assert!(matches!(after(0).await, (true, RetryAdvice::Wait(_), 1)));
    assert!(matches!(after(31).await, (true, RetryAdvice::Wait(_), 2)));
    assert!(matches!(after(5).await, (true, RetryAdvice::Wait(_), 2)));
    assert!(matches!(after(31).await, (false, RetryAdvice::NeedsOperator, 2)));
    assert!(matches!(after(0).await, (true, RetryAdvice::Wait(_), 3)), "the void token is never used again");
    assert!(matches!(fake.pat().get_runner(1).await, Err(GitHubError::Unauthorized { .. })));
}

#[tokio::test]
async fn token_request_has_the_least_permissions() {
    let least = serde_json::json!({ "organization_self_hosted_runners": "write" });
    let fake = Fake::with_mint(
        move |seen, n| match serde_json::from_str::<serde_json::Value>(&seen.body).unwrap() {
            body if body["permissions"]["actions"] == "write" => {
                give(422, r#"{"message":"The permissions requested are not granted to this installation."}"#)
            }
            body if body == serde_json::json!({ "permissions": least }) => minted(n, TimeDelta::hours(1)),
            other => panic!("{other}"),
        },
        |_, _| give(200, runner(1, "a")),
    )
    .await;
    let (github, _) = fake.app();
    github.get_runner(1).await.unwrap();
    github.get_runner(1).await.unwrap();
    assert_eq!(fake.mints(), 2, "the permission that is not granted is left out");

    let fake = Fake::with_mint(|_, _| give(422, r#"{"message":"not granted"}"#), |_, _| give(500, "")).await;
    let error = fake.app().0.get_runner(1).await.unwrap_err();
    assert_eq!(error.retry_advice(), RetryAdvice::NeedsOperator);
    assert!(error.to_string().contains("`organization_self_hosted_runners: write`"), "{error}");
}

#[tokio::test]
async fn unusable_token_is_not_used() {
    for body in [
        r#"{"token":"","expires_at":"2999-01-01T00:00:00Z"}"#,
        r#"{"token":"a b","expires_at":"2999-01-01T00:00:00Z"}"#,
        r#"{"token":"ghs_x","expires_at":"2001-01-01T00:00:00Z"}"#,
        r#"{"token":null,"expires_at":"2999-01-01T00:00:00Z"}"#,
    ] {
        let fake = Fake::with_mint(move |_, _| give(201, body), |_, _| give(500, "")).await;
        let error = fake.app().0.get_runner(1).await.unwrap_err();
        assert_eq!(error.retry_advice(), RetryAdvice::Retry, "{body}: {error:?}");
        assert_eq!(fake.calls().len(), 0);
    }
}

#[tokio::test]
async fn without_a_token_the_call_is_not_sent() {
    for (status, body, verdict) in [
        (500, "", RetryAdvice::Retry),
        (201, "{}", RetryAdvice::Retry),
        (404, r#"{"message":"Not Found"}"#, RetryAdvice::NeedsOperator),
        (401, r#"{"message":"Bad credentials"}"#, RetryAdvice::NeedsOperator),
        (403, r#"{"message":"This installation has been suspended"}"#, RetryAdvice::NeedsOperator),
        (429, "", RetryAdvice::Wait(std::time::Duration::from_mins(1))),
    ] {
        let fake = Fake::with_mint(move |_, _| give(status, body), |_, _| give(500, "")).await;
        let error = fake.app().0.create_jit_config(&jit()).await.unwrap_err();
        assert_eq!(error.retry_advice(), verdict, "{status}: {error:?}");
        assert_eq!((fake.mints(), fake.calls().len()), (1, 0));
    }
}

#[tokio::test]
async fn token_near_its_end_is_renewed() {
    let life = |n| if n == 1 { TimeDelta::zero() } else { TimeDelta::hours(1) };
    let fake = Fake::with_mint(move |_, n| minted(n, life(n)), |_, _| give(200, runner(1, "a"))).await;
    let (github, _) = fake.app();
    for _ in 0..3 {
        github.get_runner(1).await.unwrap();
    }
    assert_eq!(fake.mints(), 2);
}

#[tokio::test]
async fn wrong_clock_is_corrected_by_githubs_date() {
    let key = Key::new();
    let opener = key.clone();
    let shift = TimeDelta::minutes(-30);
    let fake = Fake::with_mint(
        move |seen, n| {
            let there = Utc::now() + shift;
            let claims = opener.open(seen.bearer()).unwrap();
            let answer = if claims["iat"].as_i64().unwrap() > there.timestamp() {
                give(401, r#"{"message":"'Issued at' claim is in the future"}"#)
            } else {
                minted(n, shift + TimeDelta::hours(1))
            };
            answer.with("date", there.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        },
        |_, _| give(200, runner(1, "a")),
    )
    .await;
    let github = client(app_settings(&fake.url(), KeySource::Pem(domain::Secret::new(key.pem.clone()))));
    github.get_runner(1).await.unwrap();
    assert_eq!(fake.mints(), 2);
}

#[derive(Default)]
struct MemoryStore(Mutex<Option<StoredToken>>);

impl TokenStore for MemoryStore {
    fn get<'a>(&'a self, _: u64, fit: Fit<'a>) -> TokenFuture<'a, Option<StoredToken>> {
        Box::pin(async move { self.0.lock().unwrap().clone().filter(fit) })
    }
    fn put(&self, installation: u64, token: StoredToken) -> TokenFuture<'_, ()> {
        assert_eq!(installation, 99);
        Box::pin(async { *self.0.lock().unwrap() = Some(token) })
    }
}

#[tokio::test]
async fn processes_can_share_a_token() {
    let fake = Fake::start(|seen, _| match seen.bearer() {
        "ghs_token_1" => give(200, runner(1, "a")),
        other => give(401, format!(r#"{{"message":"{other}"}}"#)),
    })
    .await;
    let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    let pem = Key::new().pem;
    let process = || {
        let settings = app_settings(&fake.url(), KeySource::Pem(domain::Secret::new(pem.clone())));
        GitHub::with_token_store(settings, Arc::new(NoopObserver), Arc::clone(&store)).unwrap()
    };
    let (one, two) = (process(), process());
    one.get_runner(1).await.unwrap();
    two.get_runner(1).await.unwrap();
    assert_eq!(fake.mints(), 1);
}

#[tokio::test]
async fn shared_token_that_is_refused_is_replaced() {
    let fake = Fake::start(|seen, _| match seen.bearer() {
        "stale" => give(401, "{}"),
        _ => give(200, runner(1, "a")),
    })
    .await;
    let expires_at = Utc::now() + TimeDelta::minutes(50);
    let store = Arc::new(MemoryStore(Mutex::new(Some(StoredToken {
        token: domain::Secret::new("stale"),
        expires_at,
    }))));
    let settings = app_settings(&fake.url(), KeySource::Pem(domain::Secret::new(Key::new().pem)));
    let github = GitHub::with_token_store(settings, Arc::new(NoopObserver), Arc::clone(&store) as _).unwrap();
    github.get_runner(1).await.unwrap();
    assert_eq!(fake.mints(), 1);
    assert_eq!(store.0.lock().unwrap().as_ref().unwrap().token.expose(), "ghs_token_1");
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let (body, encoded) = jit_answer(1, "n");
    let fake = Fake::start(move |_, _| give(201, body.clone())).await;
    let (github, key) = fake.app();
    let config = github.create_jit_config(&jit()).await.unwrap();
    let line = &key.pem[40..60];
    let settings = app_settings(&fake.url(), KeySource::Pem(domain::Secret::new(key.pem.clone())));
    let token = StoredToken { token: domain::Secret::new("canary-token"), expires_at: Utc::now() };
    let printed = format!("{config:?} {github:?} {settings:?} {token:?}");
    for secret in [encoded.as_str(), "canary-token", "ghs_token", line] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
