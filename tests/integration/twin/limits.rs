//! The rate limits: headers on every answer, refusals that say how long, violations in the ledger.

use std::time::Duration;

use github_twin::{Bucket, Fault, FaultKind, Limits, TwinConfig, ViolationKind};

use super::support::{Github, RUNNERS, read};

async fn with(limits: Limits) -> Github {
    Github::with(TwinConfig { limits, ..TwinConfig::default() }).await
}

fn strict() -> Limits {
    Limits { grace_ms: 0, ..Limits::github() }
}

#[tokio::test]
async fn window_is_counted_down_and_ends() {
    let github = with(Limits { primary: Some(Bucket::new(3, 3600)), ..strict() }).await;
    for left in [2, 1, 0] {
        let reply = github.get(RUNNERS).await;
        assert_eq!((reply.status, reply.number("x-ratelimit-remaining")), (200, left));
        assert_eq!(reply.header("x-ratelimit-resource"), Some("core"));
        assert_eq!(reply.number("x-ratelimit-limit"), 3);
    }
    let refused = github.get(RUNNERS).await;
    assert_eq!((refused.status, refused.number("x-ratelimit-remaining")), (403, 0));
    assert_eq!(refused.message(), "API rate limit exceeded for installation ID 5151515.");
    assert!(refused.header("retry-after").is_none());
    let date = chrono::DateTime::parse_from_rfc2822(refused.header("date").unwrap()).unwrap();
    let wait = refused.number("x-ratelimit-reset") - date.timestamp();
    assert!((3590..=3601).contains(&wait), "{wait}");
    assert_eq!(github.twin.ledger().count(ViolationKind::WindowExhausted), 1);

    github.twin.advance(Duration::from_secs(3601));
    let fresh = github.mint().await;
    let reply = github.with_token(&fresh, "GET", RUNNERS, &serde_json::Value::Null).await;
    assert_eq!((reply.status, reply.number("x-ratelimit-remaining")), (200, 2));
}

#[tokio::test]
async fn secondary_limit_pauses_the_installation() {
    let github = with(Limits { points: Some(Bucket::new(10, 60)), ..strict() }).await;
    github.runner("a").await;
    github.runner("b").await;
    let refused = github.jit("c").await;
    assert_eq!(refused.status, 403);
    assert!(refused.message().starts_with("You have exceeded a secondary rate limit"));
    let wait = refused.number("retry-after");
    assert!((1..=60).contains(&wait));
    assert!(refused.number("x-ratelimit-remaining") > 0);
    let inside = github.get(RUNNERS).await;
    assert_eq!(inside.status, 403, "other calls of the installation wait too");
    github.twin.advance(Duration::from_secs(61));
    assert_eq!(github.jit("c").await.status, 201);
    let ledger = github.twin.ledger();
    assert_eq!(ledger.count(ViolationKind::PointsExceeded), 1);
    assert_eq!(ledger.count(ViolationKind::InsidePause), 1);
    assert_eq!(github.twin.runners().len(), 3, "refused requests have no effect");
}

#[tokio::test]
async fn registrations_have_a_limit_of_their_own() {
    let github = with(Limits { registrations: Some(Bucket::new(2, 300)), ..strict() }).await;
    github.runner("a").await;
    github.runner("b").await;
    assert_eq!(github.jit("c").await.status, 403);
    assert_eq!(github.twin.ledger().count(ViolationKind::RegistrationsExceeded), 1);
}

#[tokio::test]
async fn too_many_at_once_are_refused() {
    let github = with(Limits { concurrency: Some(2), ..strict() }).await;
    github.twin.fault(Fault::new(FaultKind::Latency { ms: 1000 }));
    let all = (0..6).map(|_| read(github.request("GET", RUNNERS).bearer_auth(&github.token)));
    let all = futures::future::join_all(all).await;
    let passed = all.iter().filter(|r| r.as_ref().unwrap().status == 200).count();
    assert!(passed < 6, "{passed}");
    let ledger = github.twin.ledger();
    assert!(ledger.count(ViolationKind::ConcurrencyExceeded) >= 1);
    assert!(ledger.summary.most_at_once > 2);
}

#[tokio::test]
async fn limit_faults_refuse_requests_as_configured() {
    let github = with(strict()).await;
    github.twin.fault(Fault::once(
        "GET",
        "runners",
        FaultKind::SecondaryLimit { status: 429, retry_after: None },
    ));
    let refused = github.get(RUNNERS).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, None));
    assert_eq!(github.get(RUNNERS).await.status, 429);
    github.twin.advance(Duration::from_secs(61));
    assert_eq!(github.get(RUNNERS).await.status, 200);

    github.twin.fault(Fault::once(
        "GET",
        "runners",
        FaultKind::PrimaryLimit { status: 429, reset_in: Some(30) },
    ));
    let refused = github.get(RUNNERS).await;
    assert_eq!((refused.status, refused.number("x-ratelimit-remaining")), (429, 0));
    assert_eq!(github.get(RUNNERS).await.status, 403);
    github.twin.advance(Duration::from_secs(31));
    assert_eq!(github.get(RUNNERS).await.status, 200);
    let ledger = github.twin.ledger();
    assert_eq!(ledger.count(ViolationKind::InsidePause), 1);
    assert_eq!(ledger.count(ViolationKind::WindowExhausted), 1);
}

#[tokio::test]
async fn request_in_flight_is_no_violation() {
    let github = with(Limits { grace_ms: 60_000, ..Limits::github() }).await;
    github.twin.fault(Fault::once(
        "GET",
        "runners",
        FaultKind::SecondaryLimit { status: 403, retry_after: Some(90) },
    ));
    github.get(RUNNERS).await;
    assert_eq!(github.get(RUNNERS).await.status, 403);
    assert!(github.twin.ledger().violations.is_empty());
}

#[tokio::test]
async fn enterprise_server_has_no_limits_and_no_headers() {
    let github = with(Limits::off()).await;
    let reply = github.get(RUNNERS).await;
    assert!(reply.headers.keys().all(|k| !k.as_str().starts_with("x-ratelimit")));
    assert!(reply.header("x-github-request-id").is_some());
    assert_eq!(github.get("/rate_limit").await.status, 404);
}

#[tokio::test]
async fn resources_are_counted_apart() {
    let github = with(Limits { jit_resource: "actions_runner_registration".into(), ..strict() }).await;
    let made = github.jit("a").await;
    assert_eq!(made.header("x-ratelimit-resource"), Some("actions_runner_registration"));
    assert_eq!(made.number("x-ratelimit-used"), 1);
    assert_eq!(github.get(RUNNERS).await.number("x-ratelimit-used"), 1);
    let all = github.get("/rate_limit").await;
    assert_eq!(all.body["resources"]["core"]["used"], 1);
    assert_eq!(all.number("x-ratelimit-used"), 1, "asking for the limits is free");
}
