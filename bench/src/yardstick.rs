//! Yardstick of accepting: a bare server with one insert per request, on the same PostgreSQL.

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use domain::Secret;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::net::TcpListener;
use uuid::Uuid;

use runtime::shutdown::Shutdown;

use crate::output;

/// Connections to PostgreSQL: as many as the service opens by default.
const MAX_CONNECTIONS: u32 = 10;

/// Serves until a signal arrives.
pub(crate) async fn serve(url: &Secret) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    shutdown.listen()?;
    let pool = PgPoolOptions::new().max_connections(MAX_CONNECTIONS).connect(url.expose()).await?;
    sqlx::query("CREATE TABLE requests (id uuid PRIMARY KEY, body jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now())")
        .execute(&pool)
        .await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    output::print_progress(json!({ "message": "listening", "address": listener.local_addr()?.to_string() }));
    let router = Router::new().route("/", post(insert)).with_state(pool);
    Ok(api::serve(listener, router, shutdown.draining().clone()).await?)
}

async fn insert(State(pool): State<PgPool>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let id = Uuid::now_v7();
    let inserted =
        sqlx::query("INSERT INTO requests (id, body) VALUES ($1, $2)").bind(id).bind(body).execute(&pool);
    match inserted.await {
        Ok(_) => (StatusCode::ACCEPTED, Json(json!({ "id": id }))),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Json(Value::Null)),
    }
}
