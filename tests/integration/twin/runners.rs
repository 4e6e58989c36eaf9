//! Creating, listing and deleting runners on the twin.

use base64::{Engine, engine::general_purpose::STANDARD};
use github_twin::{RunnerChange, RunnerSpec, RunnerStatus, TwinConfig, ViolationKind, needles};
use serde_json::{Value, json};

use super::support::{Github, JIT, RUNNERS, read, wanted};

fn file(blob: &Value, name: &str) -> Value {
    serde_json::from_slice(&STANDARD.decode(blob[name].as_str().unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn jit_config_has_the_form_the_runner_program_reads() {
    let github = Github::start().await;
    let reply = github.jit("box-1").await;
    assert_eq!(reply.status, 201);
    let runner = &reply.body["runner"];
    assert_eq!(
        (&runner["os"], &runner["status"], &runner["busy"]),
        (&json!("unknown"), &json!("offline"), &json!(false))
    );
    assert_eq!(runner["labels"][0]["type"], "read-only");
    assert_eq!(runner["labels"][2]["type"], "custom");
    assert!(runner.get("version").is_none());

    let encoded = reply.body["encoded_jit_config"].as_str().unwrap();
    let blob: Value = serde_json::from_slice(&STANDARD.decode(encoded).unwrap()).unwrap();
    let settings = file(&blob, ".runner");
    assert_eq!((&settings["AgentName"], &settings["Ephemeral"]), (&json!("box-1"), &json!("True")));
    assert_eq!(settings["AgentId"], runner["id"].to_string());
    assert_eq!(file(&blob, ".credentials")["scheme"], "OAuth");
    let key = file(&blob, ".credentials_rsaparams");
    let canary = TwinConfig::default().canary;
    for field in ["d", "dp", "dq", "exponent", "inverseQ", "modulus", "p", "q"] {
        let private = field != "exponent";
        assert_eq!(key[field].as_str().unwrap().contains(&canary), private, "{field}");
    }
    assert!(needles(&canary).iter().any(|n| encoded.contains(n)), "a leak of the blob would be found");
}

#[tokio::test]
async fn names_are_unique_without_case_and_per_scope() {
    let github = Github::start().await;
    github.runner("box").await;
    let again = github.jit("BOX").await;
    assert_eq!(again.status, 409);
    assert_eq!(again.message(), "Already exists - A runner with the name *** already exists.");
    assert_eq!(github.twin.ledger().count(ViolationKind::DuplicateName), 1);
    let other =
        github.call("POST", "/repos/acme/web/actions/runners/generate-jitconfig", &wanted("box")).await;
    assert_eq!(other.status, 201);
    let id = github.twin.runners()[0].id;
    assert_eq!(github.delete(&format!("{RUNNERS}/{id}")).await.status, 204);
    assert_eq!(github.jit("box").await.status, 201, "a name is free again after deletion");
}

#[tokio::test]
async fn odd_requests_are_refused_and_make_nothing() {
    let github = Github::start().await;
    let with = |key: &str, value: Value| {
        let mut body = wanted("box");
        body[key] = value;
        body
    };
    let many: Vec<String> = (0..101).map(|i| format!("l{i}")).collect();
    for (body, status) in [
        (with("name", json!("x".repeat(65))), 422),
        (with("name", json!("")), 422),
        (with("labels", json!([])), 422),
        (with("labels", json!(many)), 422),
        (with("labels", json!(["x".repeat(257)])), 422),
        (with("labels", json!("gpu")), 422),
        (with("runner_group_id", json!("1")), 422),
        (with("runner_group_id", json!(9)), 404),
        (json!([1]), 400),
    ] {
        assert_eq!(github.call("POST", JIT, &body).await.status, status, "{body}");
    }
    let broken = github.request("POST", JIT).bearer_auth(&github.token).body("{");
    assert_eq!(read(broken).await.unwrap().status, 400);
    assert!(github.twin.runners().is_empty());
    assert_eq!(github.call("POST", JIT, &with("name", json!("x".repeat(64)))).await.status, 201);
}

#[tokio::test]
async fn busy_runner_cannot_be_deleted() {
    let github = Github::start().await;
    let id = github.runner("box").await;
    github.twin.set_runner(id, RunnerChange::busy()).unwrap();
    let refused = github.delete(&format!("{RUNNERS}/{id}")).await;
    assert_eq!(refused.status, 422);
    assert!(refused.message().contains("still running a job"));
    github.twin.set_runner(id, RunnerChange::offline()).unwrap();
    assert_eq!(github.delete(&format!("{RUNNERS}/{id}")).await.status, 204);
}

#[tokio::test]
async fn pages_follow_the_link_header() {
    let github = Github::with(TwinConfig { base_path: "/api/v3".into(), ..TwinConfig::default() }).await;
    for i in 0..250 {
        let spec = json!({"name": format!("box-{i}"), "labels": ["self-hosted"]});
        github.twin.create_runner(serde_json::from_value::<RunnerSpec>(spec).unwrap()).unwrap();
    }
    let mut next = Some(format!("{}{RUNNERS}?per_page=500", github.twin.url()));
    let (mut names, mut pages) = (Vec::new(), 0);
    while let Some(url) = next {
        let reply = read(github.client.get(url).bearer_auth(&github.token)).await.unwrap();
        assert_eq!(reply.body["total_count"], 250);
        names.extend(reply.body["runners"].as_array().unwrap().iter().map(|r| r["name"].to_string()));
        let links = reply.header("link").unwrap().to_owned();
        assert_eq!(links.contains("rel=\"last\""), links.contains("rel=\"next\""));
        let found = links.split(", ").find(|l| l.contains("rel=\"next\""));
        next = found.map(|l| l[1..l.find('>').unwrap()].to_owned());
        pages += 1;
    }
    names.dedup();
    assert_eq!((pages, names.len()), (3, 250));

    let first = github.get(RUNNERS).await;
    assert_eq!(first.body["runners"].as_array().unwrap().len(), 30);
    let one = github.get(&format!("{RUNNERS}?name=BOX-7")).await;
    assert_eq!(one.body["total_count"], 1);
    assert!(one.header("link").is_none());
    let beyond = github.get(&format!("{RUNNERS}?page=99")).await;
    assert_eq!(beyond.body["runners"], json!([]));
    assert_eq!(github.get(&format!("{RUNNERS}/")).await.status, 404, "no trailing slash");
}

#[tokio::test]
async fn unchanged_answer_is_free_for_the_same_token_only() {
    let github = Github::start().await;
    github.runner("box").await;
    let first = github.get(RUNNERS).await;
    let tag = first.header("etag").unwrap();
    let ask = |token: &str| {
        let request = github.request("GET", RUNNERS).bearer_auth(token);
        read(request.header("if-none-match", tag))
    };
    let again = ask(&github.token).await.unwrap();
    assert_eq!(again.status, 304);
    assert_eq!(again.number("x-ratelimit-used"), first.number("x-ratelimit-used"));
    let other = github.mint().await;
    assert_eq!(ask(&other).await.unwrap().status, 200, "another token, another tag");
    github.runner("box-2").await;
    assert_eq!(ask(&github.token).await.unwrap().status, 200);
}

#[tokio::test]
async fn unused_runner_is_removed_after_its_life() {
    let github = Github::start().await;
    let (unused, used) = (github.runner("unused").await, github.runner("used").await);
    github.twin.set_runner(used, RunnerChange::online()).unwrap();
    github.twin.set_runner(used, RunnerChange::offline()).unwrap();
    github.twin.advance(std::time::Duration::from_secs(86_500));
    let left = github.twin.runners();
    assert_eq!(left.iter().map(|r| r.id).collect::<Vec<_>>(), [used]);
    assert!(left[0].id != unused && left[0].status == RunnerStatus::Offline);
}
