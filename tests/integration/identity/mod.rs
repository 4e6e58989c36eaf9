//! Identification of callers: bindings, subjects of machine clients, claim rules, and the audit of unknown principals.

mod bindings;
mod machines;
mod providers;
mod refusals;

use harness::{ApiResponse, Person, World};
use serde_json::{Value, json};

async fn me(world: &World, token: &str) -> ApiResponse {
    world.get("/auth/me", token).await
}

/// Returns a token of the first issuer with a verified e-mail.
fn login(world: &World, sub: &str, email: &str) -> String {
    world.token(&json!({ "sub": sub, "email": email, "email_verified": true }))
}

async fn invite(world: &World, root: &Person, body: Value) -> Value {
    world.post("/admin/users", root, &body).await.assert_status(201).body
}

async fn audited(world: &World, event: &str) -> Vec<Value> {
    let sql =
        "SELECT jsonb_build_object('data', event_data, 'ip', request_ip, 'success', success) FROM audit_log
        WHERE event_type = $1 ORDER BY id";
    sqlx::query_scalar(sql).bind(event).fetch_all(world.sql()).await.unwrap()
}

async fn alarmed(world: &World, event: &str) -> Vec<Value> {
    let sql = "SELECT jsonb_build_object('data', violation_data, 'severity', severity) FROM security_events
        WHERE event_type = $1 ORDER BY id";
    sqlx::query_scalar(sql).bind(event).fetch_all(world.sql()).await.unwrap()
}
