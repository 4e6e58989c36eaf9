//! Listener for processes that serve no API: liveness and metrics.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{Json, Router, http::StatusCode, routing::get};
use runtime::{health::LoopMonitor, telemetry::Metrics};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::process::Process;

/// Serves `/health/live` and `/metrics` as a part of the process.
pub(crate) async fn start(
    process: &mut Process,
    listen: SocketAddr,
    progress: LoopMonitor,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let router = router(progress, process.metrics.clone());
    let draining = process.shutdown.draining().clone();
    process.run("probe", async move { Ok(api::serve(listener, router, draining).await?) });
    Ok(())
}

fn router(progress: LoopMonitor, metrics: Metrics) -> Router {
    Router::new()
        .route("/health/live", get(move || std::future::ready(live(&progress))))
        .route("/metrics", get(move || std::future::ready(metrics.render())))
}

fn live(progress: &LoopMonitor) -> (StatusCode, Json<Value>) {
    let stalled: Vec<_> = progress.stalled().iter().map(|one| one.name).collect();
    if stalled.is_empty() {
        (StatusCode::OK, Json(json!({ "status": "ok" })))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "failing", "no_progress": stalled })))
    }
}
