//! Transport: lost responses, time limits, redirects and broken bodies.

use std::{sync::Arc, time::Duration};

use github::{GitHub, GitHubError, JitConfigRequest, RetryAdvice, Scope};
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::fake::{Fake, Give, Memory, client, give, pat_settings, runner};

fn jit() -> JitConfigRequest {
    JitConfigRequest {
        name: "rts-1".into(),
        runner_group_id: 1,
        labels: vec!["linux".into()],
        work_folder: "_work".into(),
    }
}

/// Starts a server that answers the first request of each connection with `bytes` and closes it. Returns its address
/// and the number of connections.
async fn raw(bytes: &'static [u8]) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut buffer = vec![0; 65536];
            let _request = stream.read(&mut buffer).await;
            let _sent = stream.write_all(bytes).await;
        }
    });
    (url, count)
}

#[tokio::test]
async fn each_header_is_sent_once() {
    let fake = Fake::start(|_, _| give(200, runner(7, "a"))).await;
    fake.pat().get_runner(7).await.unwrap().unwrap();
    let seen = &fake.calls()[0];
    assert_eq!(seen.all("user-agent"), [concat!("runner-token-service/", env!("CARGO_PKG_VERSION"))]);
    assert_eq!(seen.all("accept"), ["application/vnd.github+json"]);
    assert_eq!(seen.all("x-github-api-version"), ["2022-11-28"]);
    assert_eq!(seen.all("authorization"), ["Bearer ghp_canary"]);
    assert_eq!(seen.path, "/orgs/acme/actions/runners/7");
}

#[tokio::test]
async fn user_agent_can_be_set() {
    let fake = Fake::start(|_, _| give(200, runner(7, "a"))).await;
    let mut settings = pat_settings(&fake.url());
    settings.user_agent_suffix = Some("staging".into());
    client(settings).get_runner(7).await.unwrap();
    assert!(fake.calls()[0].all("user-agent")[0].ends_with(" (staging)"));
}

#[tokio::test]
async fn base_path_is_kept_and_never_doubled_or_lost() {
    for prefix in ["/api/v3", "/api/v3/", "/orgs"] {
        let fake = Fake::start(|_, _| give(200, runner(7, "a"))).await;
        client(pat_settings(&format!("{}{prefix}", fake.url()))).get_runner(7).await.unwrap();
        let expected = format!("{}/orgs/acme/actions/runners/7", prefix.trim_end_matches('/'));
        assert_eq!(fake.calls()[0].path, expected);
    }
}

#[tokio::test]
async fn names_are_percent_encoded() {
    let fake = Fake::start(|_, _| give(200, r#"{"total_count":0,"runners":[]}"#)).await;
    let mut settings = pat_settings(&fake.url());
    settings.scope = Scope::Repo { owner: "a b".into(), name: "c?d/e".into() };
    assert!(client(settings).find_runner("x/y&z=ü").await.unwrap().is_none());
    assert_eq!(
        fake.calls()[0].path,
        "/repos/a%20b/c%3Fd%2Fe/actions/runners?name=x%2Fy%26z%3D%C3%BC&per_page=100&page=1"
    );
}

#[tokio::test]
async fn names_that_would_change_the_path_are_not_sent() {
    let fake = Fake::start(|_, _| give(202, "{}")).await;
    let error = fake.pat().cancel_workflow_run("acme", "..", 1).await.unwrap_err();
    assert_eq!(error.retry_advice(), RetryAdvice::Permanent);
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn refused_connection_means_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let memory = Arc::new(Memory::default());
    let github = GitHub::new(pat_settings(&url), Arc::clone(&memory) as _).unwrap();
    let error = github.create_jit_config(&jit()).await.unwrap_err();
    assert!(matches!(error, GitHubError::NotSent { .. }), "{error:?}");
    assert_eq!(error.retry_advice(), RetryAdvice::Retry);
    let answers = memory.answers();
    assert_eq!((answers.len(), answers[0].status), (1, None));
}

#[tokio::test]
async fn failed_handshake_means_nothing_was_sent() {
    let (url, _) = raw(b"this is no TLS").await;
    let settings = pat_settings(&url.replace("http:", "https:"));
    let error = client(settings).create_jit_config(&jit()).await.unwrap_err();
    assert!(matches!(error, GitHubError::NotSent { .. }), "{error:?}");
}

#[tokio::test]
async fn silent_handshake_ends_at_the_connect_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = pat_settings(&format!("https://{}", listener.local_addr().unwrap()));
    settings.timeouts.connect = Duration::from_millis(100);
    let error = client(settings).create_jit_config(&jit()).await.unwrap_err();
    assert!(matches!(error, GitHubError::NotSent { .. }), "{error:?}");
}

#[tokio::test]
async fn total_time_out_before_a_connection_means_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = pat_settings(&format!("https://{}", listener.local_addr().unwrap()));
    settings.timeouts.total = Duration::from_millis(100);
    let error = client(settings).create_jit_config(&jit()).await.unwrap_err();
    assert!(matches!(error, GitHubError::NotSent { .. }), "{error:?}");
}

#[tokio::test]
async fn time_out_after_sending_is_unclear_and_not_resent() {
    let fake = Fake::start(|_, _| Give::Nothing).await;
    let mut settings = pat_settings(&fake.url());
    settings.timeouts.total = Duration::from_millis(300);
    let memory = Arc::new(Memory::default());
    let github = GitHub::new(settings, Arc::clone(&memory) as _).unwrap();
    let error = github.create_jit_config(&jit()).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unclear { status: None, .. }), "{error:?}");
    assert_eq!(error.retry_advice(), RetryAdvice::Unclear);
    assert_eq!(fake.calls().len(), 1);
    assert_eq!(memory.answers()[0].status, None);
}

#[tokio::test]
async fn server_errors_are_unclear_and_not_resent() {
    for status in [500, 502, 503] {
        let fake = Fake::start(move |_, _| give(status, "oops")).await;
        let error = fake.pat().create_jit_config(&jit()).await.unwrap_err();
        assert_eq!(error.retry_advice(), RetryAdvice::Unclear);
        let error = fake.pat().get_runner(1).await.unwrap_err();
        assert_eq!(error.retry_advice(), RetryAdvice::Retry, "a read has no effect");
        let calls = fake.calls();
        assert_eq!(calls.iter().filter(|c| c.method == Method::POST).count(), 1);
        assert_eq!(calls.len(), 2);
    }
}

#[tokio::test]
async fn connection_closed_without_an_answer_is_unclear() {
    let (url, count) = raw(b"").await;
    let error = client(pat_settings(&url)).create_jit_config(&jit()).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unclear { status: None, .. }), "{error:?}");
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn truncated_response_is_unclear() {
    let answer =
        b"HTTP/1.1 201 Created\r\nx-github-request-id: AB:12\r\ncontent-length: 500\r\n\r\n{\"runner\":";
    let (url, count) = raw(answer).await;
    let memory = Arc::new(Memory::default());
    let github = GitHub::new(pat_settings(&url), Arc::clone(&memory) as _).unwrap();
    let error = github.create_jit_config(&jit()).await.unwrap_err();
    assert_eq!(memory.answers()[0].request_id.as_deref(), Some("AB:12"), "its headers are observed");
    assert!(matches!(error, GitHubError::Unclear { status: Some(201), .. }), "{error:?}");
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn response_size_is_limited() {
    let fake = Fake::start(|_, _| give(200, " ".repeat(9 << 20))).await;
    let error = fake.pat().get_runner(1).await.unwrap_err();
    assert!(matches!(error, GitHubError::Malformed { .. }), "{error:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let fake = Fake::start(|_, _| give(307, "").with("location", "http://127.0.0.1:1/elsewhere")).await;
    let error = fake.pat().create_jit_config(&jit()).await.unwrap_err();
    assert_eq!(error.retry_advice(), RetryAdvice::NeedsOperator);
    assert_eq!(fake.calls().len(), 1);
}
