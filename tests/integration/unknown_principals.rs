//! Requests without a known principal: bounded memory and rows, no effect on known callers.

use std::{collections::BTreeSet, num::NonZeroU32};

use harness::{Builder, World, eventually, team_draft, wait_until};
use runtime::config::ServerGuards;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Text that must not appear in any metric.
const CANARY: &str = "zqcanaryzq";

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

/// Returns a world with default guards except for one change.
fn guarded(change: impl FnOnce(&mut ServerGuards)) -> Builder {
    let mut guards = ServerGuards {
        refusals_per_minute: number(1_000_000),
        refusals_burst: number(100_000),
        connections_per_address: number(10_000),
        waits_per_caller: number(10_000),
        list_time_percent: number(10_000),
    };
    change(&mut guards);
    World::builder().workers(0).guards(guards)
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.url().trim_start_matches("http://")).await.unwrap()
}

/// Sends bytes and reads until the server closes the connection.
async fn exchange(world: &World, request: &[u8]) -> String {
    let mut stream = connect(world).await;
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses a request before reading all of it may reset the connection.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Returns all values of one metric label.
async fn values_of(world: &World, label: &str) -> BTreeSet<String> {
    let text = world.request("GET", "/metrics").send().await.assert_status(200).text;
    let start = format!("{label}=\"");
    let values = text.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    values.collect()
}

#[tokio::test]
async fn thousand_unknown_methods_make_one_series() {
    let world = World::builder().workers(0).start().await;
    let mut stream = connect(&world).await;
    for nth in 0..1_000 {
        let request = format!("{CANARY}{nth} /health/live HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(String::from_utf8(head).unwrap(), "HTTP/1.1 405");
        read_answer(&mut stream).await;
    }
    let methods = values_of(&world, "method").await;
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
    assert!(methods.iter().all(|method| known.contains(&method.as_str())), "{methods:?}");
    assert!(methods.contains("other"));
}

/// Reads the rest of a response after its first bytes.
async fn read_answer(stream: &mut TcpStream) {
    let mut text = Vec::new();
    let end = loop {
        text.push(stream.read_u8().await.unwrap());
        if text.ends_with(b"\r\n\r\n") {
            break text.len();
        }
    };
    let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
}

#[tokio::test]
async fn nothing_that_is_sent_becomes_a_metric_label() {
    let world = World::builder().workers(0).webhooks("a webhook secret of the tests").start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let token =
        world.token(&json!({ "sub": CANARY, "email": format!("{CANARY}@example.com"), "azp": CANARY }));
    let foreign = world.token(&json!({ "iss": format!("https://{CANARY}.example"), "aud": CANARY }));
    for (method, path) in [
        (CANARY, "/api/v1/jobs".to_owned()),
        ("GET", format!("/{CANARY}")),
        ("GET", format!("/api/v1/jobs/{CANARY}")),
        ("POST", format!("/api/v1/admin/queues/{CANARY}/pause")),
        ("GET", format!("/api/v1/jobs?state={CANARY}&{CANARY}={CANARY}")),
        ("GET", format!("/docs/{CANARY}")),
    ] {
        for token in [token.as_str(), foreign.as_str(), ada.token.as_str(), CANARY] {
            let ask = world.request(method, &path).by(token).header("x-request-id", CANARY);
            ask.header("user-agent", CANARY).header("prefer", CANARY).send().await;
        }
    }
    let hook = world.ask("POST", "/webhooks/github").header("x-github-event", CANARY);
    let hook = hook.header("x-github-delivery", &uuid::Uuid::new_v4().to_string());
    hook.header("x-hub-signature-256", CANARY).raw("application/json", "{}").send().await.assert_status(401);
    let text = world.request("GET", "/metrics").send().await.assert_status(200).text;
    assert!(!text.contains(CANARY), "{}", text.lines().find(|line| line.contains(CANARY)).unwrap());
}

#[tokio::test]
async fn heads_are_bounded_and_name_one_host() {
    let world = World::builder().workers(0).start().await;
    let long = "x".repeat(60_000);
    for request in [
        format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n"),
        format!("{long} /health/live HTTP/1.1\r\nhost: x\r\n\r\n"),
        "GET /health/live HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(),
        "GET /health/live HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n".to_owned(),
    ] {
        let answer = exchange(&world, request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let old = exchange(&world, b"GET /health/live HTTP/1.0\r\n\r\n").await;
    assert!(old.contains(" 200 "), "{old}");
}

#[tokio::test]
async fn address_with_too_many_bad_tokens_waits_while_known_callers_are_served() {
    let world =
        guarded(|guards| (guards.refusals_per_minute, guards.refusals_burst) = (number(1), number(20)));
    let world = world.start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    world.get("/auth/me", &ada).await.assert_status(200);
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(world.get("/auth/me", "a.bad.token").await.status);
    }
    assert_eq!(statuses[..20], [401; 20]);
    assert_eq!(statuses[30..], [429; 10]);
    let refused = world.get("/auth/me", "a.bad.token").await.refused(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    world.get("/auth/me", &ada).await.assert_status(200);
}

#[tokio::test]
async fn unknown_principal_is_looked_up_at_a_bounded_rate() {
    let world =
        guarded(|guards| (guards.refusals_per_minute, guards.refusals_burst) = (number(1), number(20)));
    let world = world.start().await;
    let root = world.admin().await;
    world.get("/auth/me", &root).await.assert_status(200);
    let token = world.token(&json!({ "sub": "nemo", "email": "nemo@example.com", "email_verified": true }));
    for _ in 0..3 {
        world.get("/auth/me", &token).await.refused(403, "unknown_principal");
    }
    // A change by an admin takes effect at once, although the refusal was cached.
    let body = json!({ "email": "nemo@example.com" });
    world.post("/admin/users", &root, &body).await.assert_status(201);
    world.get("/auth/me", &token).await.assert_status(200);

    let stranger = world.token(&json!({ "sub": "stranger" }));
    let mut statuses = Vec::new();
    for _ in 0..60 {
        statuses.push(world.get("/auth/me", &stranger).await.status);
    }
    assert!(statuses.contains(&403) && statuses.contains(&429), "{statuses:?}");
    world.get("/auth/me", &root).await.assert_status(200);
}

#[tokio::test]
async fn address_with_too_many_connections_is_closed_at_once() {
    let world = guarded(|guards| guards.connections_per_address = number(8)).start().await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(connect(&world).await);
    }
    eventually("a further connection is closed", || async {
        let mut further = connect(&world).await;
        further.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.ok()?;
        let mut answer = Vec::new();
        let read = further.read_to_end(&mut answer).await;
        (read.is_err() || answer.is_empty()).then_some(())
    })
    .await;
    drop(held);
    wait_until("closed connections free their places", || async {
        let mut stream = connect(&world).await;
        let request = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let sent = stream.write_all(request).await;
        let mut answer = Vec::new();
        sent.is_ok() && stream.read_to_end(&mut answer).await.is_ok() && answer.starts_with(b"HTTP/1.1 200")
    })
    .await;
}

#[tokio::test]
async fn request_id_is_generated_by_the_server() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let ask = |id: &str| {
        world
            .ask("POST", "/runners/jit")
            .by(&ada)
            .header("x-request-id", id)
            .json(&harness::provision_body("ci"))
    };
    let (first, second) =
        (ask("theirs-1").send().await.assert_status(202), ask("theirs-1").send().await.assert_status(202));
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    assert_eq!(first.header("x-client-request-id"), "theirs-1");
    let logs = world.get("/audit-logs", &ada).await.assert_status(200).body["logs"].clone();
    for (row, answer) in logs.as_array().unwrap().iter().zip([&second, &first]) {
        assert_eq!(row["request_id"], answer.header("x-request-id"));
        assert_eq!(row["event_data"]["client_request_id"], "theirs-1");
    }
}

#[tokio::test]
async fn metrics_with_a_listener_of_their_own_are_not_on_the_public_one() {
    let world = World::builder().workers(0).start().await;
    let api = world.program("api", &[("METRICS_LISTEN", "127.0.0.1:0"), ("PUBLIC_DOCS", "false")]);
    let public = api.address().await;
    let own = eventually("metrics are served", || async {
        api.output().lines().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line["fields"]["metrics"].as_str().or(line["metrics"].as_str()).map(str::to_owned)
        })
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |url: String| client.get(url).send().await.unwrap().status().as_u16();
    for (url, status) in [
        (format!("http://{public}/metrics"), 404),
        (format!("http://{public}/health/live"), 200),
        (format!("http://{public}/docs/"), 404),
        (format!("http://{public}/openapi.json"), 404),
        (format!("http://{own}/metrics"), 200),
        (format!("http://{own}/health/live"), 200),
        (format!("http://{own}/health/ready"), 200),
        (format!("http://{own}/health"), 200),
        (format!("http://{own}/docs/"), 200),
        (format!("http://{own}/openapi.json"), 200),
        (format!("http://{own}/api/v1/auth/me"), 404),
    ] {
        assert_eq!(ask(url.clone()).await, status, "{url}");
    }
    api.stop().await;
}
