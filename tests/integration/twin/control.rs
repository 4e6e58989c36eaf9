//! The twin's control port, which offers the operations of the Rust API.

use github_twin::TwinConfig;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Github, JIT, RUNNERS, read};

struct Port(Github, String);

impl Port {
    async fn open() -> Self {
        let control_listen = Some("127.0.0.1:0".parse().unwrap());
        let github = Github::with(TwinConfig { control_listen, ..TwinConfig::default() }).await;
        let url = github.twin.control_url().unwrap();
        Self(github, url)
    }

    async fn say(&self, method: &str, path: &str, body: Value, want: u16) -> Value {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.0.client.request(method, format!("{}{path}", self.1));
        if !body.is_null() {
            request = request.json(&body);
        }
        let reply = read(request).await.unwrap();
        assert_eq!(reply.status, want, "{path}: {reply:?}");
        reply.body
    }
}

#[tokio::test]
async fn runner_is_created_used_and_removed_over_http() {
    let port = Port::open().await;
    let id = port.0.runner("box").await;
    let job = port.say("POST", "/jobs", json!({"repository": "acme/web", "labels": ["gpu"]}), 201).await;
    let start = format!("/jobs/{}/start", job["id"]);
    port.say("POST", &start, json!({"runner": id}), 409).await;
    port.say("PATCH", &format!("/runners/{id}"), json!({"status": "online"}), 200).await;
    let started = port.say("POST", &start, json!({"runner": id}), 200).await;
    assert_eq!(started["status"], "in_progress");
    assert_eq!(port.0.get(&format!("{RUNNERS}/{id}")).await.body["busy"], true);
    port.say("POST", &format!("/jobs/{}/complete", job["id"]), json!({"conclusion": "success"}), 200).await;
    assert_eq!(port.0.get(&format!("{RUNNERS}/{id}")).await.status, 404, "ephemeral");
    assert_eq!(port.say("GET", "/jobs", Value::Null, 200).await[0]["conclusion"], "success");
}

#[tokio::test]
async fn runners_are_made_changed_and_removed() {
    let port = Port::open().await;
    let made =
        port.say("POST", "/runners", json!({"name": "a", "status": "online", "labels": ["x"]}), 201).await;
    port.say("POST", "/runners", json!({"name": "A"}), 409).await;
    let path = format!("/runners/{}", made["id"]);
    let changed = port.say("PATCH", &path, json!({"set_labels": ["y", "linux"], "os": "macos"}), 200).await;
    assert_eq!((&changed["labels"][0]["name"], &changed["os"]), (&json!("y"), &json!("macos")));
    assert_eq!(port.say("GET", "/runners", Value::Null, 200).await[0]["status"], "online");
    port.say("DELETE", &path, Value::Null, 200).await;
    port.say("DELETE", &path, Value::Null, 404).await;
}

#[tokio::test]
async fn faults_limits_and_clock_are_set_over_http() {
    let port = Port::open().await;
    let fault = json!({"method": "GET", "path": "runners", "kind": "status", "status": 503});
    let id = port.say("POST", "/faults", fault, 201).await["id"].clone();
    assert_eq!(port.0.get(RUNNERS).await.status, 503);
    assert_eq!(port.say("GET", "/faults", Value::Null, 200).await[0]["struck"], 1);
    port.say("DELETE", &format!("/faults/{id}"), Value::Null, 204).await;
    assert_eq!(port.0.get(RUNNERS).await.status, 200);
    port.say("PUT", "/limits", json!({"primary": {"limit": 1, "window_seconds": 60}}), 204).await;
    assert_eq!(port.0.get(RUNNERS).await.status, 200);
    assert_eq!(port.0.get(RUNNERS).await.status, 403);
    port.say("POST", "/clock/advance", json!({"seconds": 61}), 200).await;
    assert_eq!(port.0.get(RUNNERS).await.status, 200);
    port.say("PUT", "/installations/5151515/suspended", Value::Null, 204).await;
    port.say("POST", "/clock/advance", json!({"seconds": 61}), 200).await;
    assert_eq!(port.0.get(RUNNERS).await.status, 403);
    port.say("PUT", "/installations/1/suspended", Value::Null, 404).await;
}

#[tokio::test]
async fn ledger_is_readable_and_resettable() {
    let port = Port::open().await;
    port.0.jit("a").await;
    port.0.jit("a").await;
    let ledger = port.say("GET", "/ledger?since=1", Value::Null, 200).await;
    assert_eq!(ledger["entries"].as_array().unwrap().len(), 2);
    assert_eq!(ledger["violations"][0]["kind"], "duplicate_name");
    let summary = port.say("GET", "/ledger/summary", Value::Null, 200).await;
    assert_eq!(summary["by_operation"][format!("POST {}", JIT.replace("acme", "{org}"))], 2);
    assert!(!ledger.to_string().contains(&port.0.token[..60]), "no token in the ledger");
    port.say("POST", "/reset", Value::Null, 204).await;
    assert_eq!(port.say("GET", "/runners", Value::Null, 200).await, json!([]));
    assert_eq!(port.0.get(RUNNERS).await.status, 401, "tokens are forgotten too");
}
