//! Observed responses, and calls other than those for runners.

use std::{sync::Arc, time::Duration};

use github::{Cancellation, GitHub, GitHubError, KeySource, LimitKind, RetryAdvice};

use crate::fake::{Fake, Key, Memory, app_settings, give, pat_settings, runner};

#[tokio::test]
async fn every_response_is_observed_with_its_headers() {
    let fake = Fake::start(|_, n| match n {
        1 => give(200, runner(1, "a"))
            .with("x-ratelimit-limit", "5000")
            .with("x-ratelimit-remaining", "4999")
            .with("x-ratelimit-reset", "1800000000")
            .with("x-ratelimit-resource", "core")
            .with("x-github-request-id", "AB:12"),
        2 => give(403, r#"{"message":"You have exceeded a secondary rate limit"}"#).with("retry-after", "30"),
        _ => give(200, runner(1, "a")),
    })
    .await;
    let memory = Arc::new(Memory::default());
    let settings = app_settings(&fake.url(), KeySource::Pem(domain::Secret::new(Key::new().pem)));
    let github = GitHub::new(settings, Arc::clone(&memory) as _).unwrap();
    github.get_runner(1).await.unwrap();
    let error = github.get_runner(1).await.unwrap_err();
    assert!(matches!(error, GitHubError::Limited { kind: LimitKind::Secondary, .. }));
    assert_eq!(error.retry_advice(), RetryAdvice::Wait(Duration::from_secs(30)));
    github.get_runner(1).await.unwrap();

    let answers = memory.answers();
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0].operation, "create_installation_access_token");
    let rate = answers[1].rate.as_ref().unwrap();
    assert_eq!((rate.remaining, rate.used, rate.resource.as_str()), (4999, 1, "core"));
    assert_eq!(answers[1].request_id.as_deref(), Some("AB:12"));
    assert!(answers[1].server_date.is_some());
    let limit = Some((LimitKind::Secondary, Duration::from_secs(30)));
    assert_eq!((answers[2].status, answers[2].limit), (Some(403), limit));
    assert_eq!((answers[3].rate.as_ref(), answers[3].limit), (None, None), "a server without limits");
}

#[tokio::test]
async fn empty_window_waits_by_the_servers_clock() {
    let fake = Fake::start(|_, _| {
        give(429, "")
            .with("date", "Sun, 22 Nov 2020 10:00:00 GMT")
            .with("x-ratelimit-limit", "5000")
            .with("x-ratelimit-remaining", "0")
            .with("x-ratelimit-reset", "1606039320")
    })
    .await;
    let error = fake.pat().get_runner(1).await.unwrap_err();
    let GitHubError::Limited { kind, wait, .. } = error else { panic!("{error:?}") };
    assert_eq!((kind, wait), (LimitKind::Primary, Duration::from_mins(2)));
}

#[tokio::test]
async fn all_windows_are_read_with_or_without_the_old_field() {
    let fake = Fake::start(|_, n| match n {
        1 => {
            give(200, r#"{"resources":{"core":{"limit":5000,"remaining":1,"reset":1800000000,"used":4999}}}"#)
        }
        _ => give(404, r#"{"message":"Rate limiting is not enabled."}"#),
    })
    .await;
    let github = fake.pat();
    let windows = github.rate_limit().await.unwrap();
    assert_eq!((windows[0].resource.as_str(), windows[0].remaining), ("core", 1));
    assert!(github.rate_limit().await.unwrap().is_empty());
}

#[tokio::test]
async fn cancellation_of_a_run_returns_whether_it_was_possible() {
    let fake =
        Fake::start(|_, n| if n == 1 { give(202, "{}") } else { give(409, r#"{"message":"no"}"#) }).await;
    let github = fake.pat();
    assert_eq!(github.cancel_workflow_run("a", "b", 5).await.unwrap(), Cancellation::Accepted);
    assert_eq!(github.cancel_workflow_run("a", "b", 5).await.unwrap(), Cancellation::NotCancellable);
    assert_eq!(fake.calls()[0].path, "/repos/a/b/actions/runs/5/cancel");
}

#[tokio::test]
async fn deliveries_are_listed_and_sent_again_as_the_app() {
    let delivery = r#"[{"id":12345678,"guid":"0b989ba4","delivered_at":"2026-06-03T00:57:16Z","redelivery":false,
        "duration":0.27,"status":"OK","status_code":200,"event":"workflow_job","action":null,
        "installation_id":123,"repository_id":456}]"#;
    let fake = Fake::start(move |seen, _| match seen.path.as_str() {
        "/app/hook/deliveries?status=failure&per_page=100&cursor=v1_a%2Bb" => give(200, delivery)
            .with("link", "<http://h/app/hook/deliveries?per_page=100&cursor=v1_c>; rel=\"next\""),
        "/app/hook/deliveries/12345678/attempts" => give(202, "{}"),
        other => panic!("{other}"),
    })
    .await;
    let (github, key) = fake.app();
    let page = github.list_failed_hook_deliveries(Some("v1_a+b"), 1000).await.unwrap();
    assert_eq!((page.deliveries[0].id, page.next_cursor.as_deref()), (12_345_678, Some("v1_c")));
    github.redeliver_hook(12_345_678).await.unwrap();
    assert_eq!(fake.mints(), 0);
    assert!(fake.calls().iter().all(|call| key.open(call.bearer()).is_some()));
}

#[tokio::test]
async fn app_and_installation_are_read() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/app" => give(
            200,
            r#"{"id":4711,"slug":"rts","name":"RTS","permissions":{"metadata":"read"},"events":[]}"#,
        ),
        _ => give(200, r#"{"id":99,"account":{"login":"acme"},"suspended_at":null,"permissions":{}}"#),
    })
    .await;
    let (github, _) = fake.app();
    assert_eq!(github.get_app().await.unwrap().permissions["metadata"], "read");
    let installation = github.get_installation().await.unwrap();
    assert_eq!(installation.account.unwrap().login.as_deref(), Some("acme"));
    assert_eq!(fake.calls()[1].path, "/app/installations/99");
    let plain = github::GitHub::new(pat_settings(&fake.url()), Arc::new(github::NoopObserver)).unwrap();
    assert!(matches!(plain.get_app().await, Err(GitHubError::Credential { .. })));
}
