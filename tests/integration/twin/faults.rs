//! Faults configured on the twin, and their entries in the ledger.

use std::time::Duration;

use github_twin::{Fault, FaultKind, RunnerSpec};
use serde_json::json;

use super::support::{Github, JIT, RUNNERS, read, wanted};

#[tokio::test]
async fn answer_can_be_lost_after_the_effect() {
    let github = Github::start().await;
    github.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::EffectThenDrop));
    let lost = read(github.request("POST", JIT).bearer_auth(&github.token).json(&wanted("a"))).await;
    assert!(lost.is_err());
    assert!(github.twin.runner("a").is_some(), "the effect took place");
    assert_eq!(github.jit("a").await.status, 409);
    let ledger = github.twin.ledger();
    let calls: Vec<_> = ledger.of("POST", "generate-jitconfig").collect();
    assert_eq!(calls.len(), 2, "one request was one request");
    assert_eq!((calls[0].status, calls[0].fault.as_deref()), (0, Some("effect_then_drop")));
    assert_eq!(calls[1].status, 409);
}

#[tokio::test]
async fn request_can_be_lost_before_the_effect() {
    let github = Github::start().await;
    github.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Drop));
    let lost = read(github.request("POST", JIT).bearer_auth(&github.token).json(&wanted("a"))).await;
    assert!(lost.is_err() && github.twin.runners().is_empty());
    assert_eq!(github.jit("a").await.status, 201);
}

#[tokio::test]
async fn effect_can_be_delayed() {
    let github = Github::start().await;
    github.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::LateEffect { ms: 60_000 }));
    assert!(read(github.request("POST", JIT).bearer_auth(&github.token).json(&wanted("a"))).await.is_err());
    assert!(github.twin.runner("a").is_none());
    github.twin.advance(Duration::from_mins(1));
    assert!(github.twin.runner("a").is_some());
}

#[tokio::test]
async fn server_error_may_or_may_not_have_had_its_effect() {
    let github = Github::start().await;
    github.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Status { status: 502 }));
    github.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::EffectThenStatus { status: 500 }));
    assert_eq!(github.jit("a").await.status, 502);
    assert!(github.twin.runners().is_empty());
    assert_eq!(github.jit("a").await.status, 500);
    assert!(github.twin.runner("a").is_some());
    assert_eq!(github.get(RUNNERS).await.status, 200, "other operations have no fault");
}

#[tokio::test]
async fn client_that_leaves_early_does_not_undo_its_request() {
    let github = Github::start().await;
    github.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Latency { ms: 200 }));
    let request = github.request("POST", JIT).bearer_auth(&github.token).json(&wanted("a"));
    let client = tokio::spawn(read(request));
    // The fault is used up as soon as the request has arrived.
    while !github.twin.control().faults().is_empty() {
        tokio::task::yield_now().await;
    }
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    while github.twin.runner("a").is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn response_can_be_slow() {
    let github = Github::start().await;
    github.twin.fault(Fault::once("GET", "runners", FaultKind::SlowDrip { ms: 1, bytes: 7 }));
    assert_eq!(github.get(RUNNERS).await.body["total_count"], 0);
    assert_eq!(github.twin.ledger().of("GET", "runners").next().unwrap().fault.as_deref(), Some("slow_drip"));
}

#[tokio::test]
async fn runner_can_move_between_pages() {
    let github = Github::start().await;
    for i in 0..4 {
        let spec = serde_json::from_value::<RunnerSpec>(json!({"name": format!("r{i}")})).unwrap();
        github.twin.create_runner(spec).unwrap();
    }
    for (agree, total) in [(true, 3), (false, 4)] {
        let kind = FaultKind::PageSlip { by: 1, agree };
        github.twin.fault(Fault::new(kind).on("GET", "/orgs/{org}/actions/runners").times(2));
        let mut names = Vec::new();
        for page in [1, 2] {
            let reply = github.get(&format!("{RUNNERS}?per_page=2&page={page}")).await;
            assert_eq!(reply.body["total_count"], total);
            names.extend(reply.body["runners"].as_array().unwrap().iter().map(|r| r["name"].clone()));
        }
        assert_eq!(names, ["r0", "r1", "r3"]);
    }
}

#[tokio::test]
async fn token_can_end_early() {
    let github = Github::start().await;
    github.twin.fault(Fault::once("GET", "runners", FaultKind::TokenExpired));
    assert_eq!(github.get(RUNNERS).await.status, 401);
    assert_eq!(github.get(RUNNERS).await.status, 401);
    let fresh = github.mint().await;
    assert_eq!(github.with_token(&fresh, "GET", RUNNERS, &serde_json::Value::Null).await.status, 200);
}

#[tokio::test]
async fn dropping_the_twin_closes_its_port() {
    let github = Github::start().await;
    let url = format!("{}/meta", github.twin.url());
    let (client, twin) = (github.client, github.twin);
    assert!(client.get(&url).send().await.is_ok());
    twin.shutdown();
    while client.get(&url).send().await.is_ok() {
        tokio::task::yield_now().await;
    }
}
