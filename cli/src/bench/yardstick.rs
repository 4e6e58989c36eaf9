//! The least a service could do: one small server, one insert, the same PostgreSQL.

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use domain::Secret;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::net::TcpListener;
use uuid::Uuid;

use runtime::shutdown::Shutdown;

use crate::output;

/// As many as the service opens by default.
const CONNECTIONS: u32 = 10;

/// Serves until a signal.
pub(super) async fn serve(url: &Secret) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    shutdown.listen()?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(url.expose()).await?;
    sqlx::query("CREATE TABLE asked (id uuid PRIMARY KEY, body jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now())")
        .execute(&pool)
        .await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    output::note(json!({ "message": "listening", "address": listener.local_addr()?.to_string() }));
    let router = Router::new().route("/", post(insert)).with_state(pool);
    Ok(api::serve(listener, router, shutdown.draining().clone()).await?)
}

async fn insert(State(pool): State<PgPool>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let id = Uuid::now_v7();
    let done = sqlx::query("INSERT INTO asked (id, body) VALUES ($1, $2)").bind(id).bind(body).execute(&pool);
    match done.await {
        Ok(_) => (StatusCode::ACCEPTED, Json(json!({ "id": id }))),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Json(Value::Null)),
    }
}
