//! Health checks and metrics, outside the API prefix and without a token.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::AppState, layers};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(health))
        .routes(routes!(metrics))
}

/// Health of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok` or `failing`.
    status: &'static str,
    /// Running version.
    version: &'static str,
    /// Commit of the build, if the build recorded it (`RTS_COMMIT`).
    commit: Option<&'static str>,
    /// All checks with their results.
    checks: Vec<Check>,
}

/// Result of one check.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    /// Name of the check; for an issuer's keys `issuer_keys:` and the issuer's name.
    name: String,
    /// `ok`, or the failure.
    status: String,
    /// Whether the service fails with this check. One of several issuers may be unavailable.
    #[serde(skip)]
    required: bool,
}

impl Check {
    fn new(name: &str, passed: bool, failure: &str) -> Self {
        let status = if passed { "ok" } else { failure }.to_owned();
        Self { name: name.to_owned(), status, required: true }
    }
}

impl Health {
    fn response(checks: Vec<Check>) -> Response {
        let healthy = checks.iter().all(|check| check.status == "ok" || !check.required);
        let (code, status) =
            if healthy { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
        (
            code,
            [(header::CACHE_CONTROL, "no-store")],
            Json(Self {
                status,
                version: env!("CARGO_PKG_VERSION"),
                commit: option_env!("RTS_COMMIT"),
                checks,
            }),
        )
            .into_response()
    }
}

/// Check liveness: every loop of this process has made progress recently.
///
/// For liveness probes. 503 means that the process should be restarted.
#[utoipa::path(
    get, path = "/health/live", tag = "health", security(()),
    responses(
        (status = 200, description = "Alive", body = Health),
        (status = 503, description = "A loop has stalled; restart this process", body = Health),
    ),
)]
pub(crate) async fn live(State(app): State<AppState>) -> Response {
    Health::response(loop_checks(&app))
}

fn loop_checks(app: &AppState) -> Vec<Check> {
    let stalled = app.progress.stalled();
    app.progress
        .names()
        .into_iter()
        .map(|name| Check::new(name, stalled.iter().all(|stalled| stalled.name != name), "no progress"))
        .collect()
}

/// Check readiness: the database, the queue and the identity provider's keys are available.
///
/// For readiness probes. 503 means that requests would fail now.
#[utoipa::path(
    get, path = "/health/ready", tag = "health", security(()),
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "A dependency is unavailable", body = Health),
    ),
)]
pub(crate) async fn ready(State(app): State<AppState>) -> Response {
    Health::response(dependency_checks(&app).await)
}

async fn dependency_checks(app: &AppState) -> Vec<Check> {
    let limit = Duration::from_secs(2);
    let (database, queue) = tokio::join!(timeout(limit, app.store.ping()), timeout(limit, app.queue.ping()));
    let mut checks = vec![
        Check::new("database", matches!(database, Ok(Ok(()))), "unavailable"),
        Check::new("queue", matches!(queue, Ok(Ok(()))), "unavailable"),
        Check::new("serving", !app.draining.is_cancelled(), "draining"),
    ];
    let any_issuer_ready = app.verifier.ready();
    checks.extend(app.verifier.issuers().map(|(name, usable)| Check {
        required: !any_issuer_ready,
        ..Check::new(&format!("issuer_keys:{name}"), usable, "unavailable")
    }));
    checks
}

/// Show liveness and readiness together, for people.
///
/// With the version and each check by name. The response is 503 if one check fails.
#[utoipa::path(
    get, path = "/health", tag = "health", security(()),
    responses(
        (status = 200, description = "All checks pass", body = Health),
        (status = 503, description = "At least one check fails", body = Health),
    ),
)]
pub(crate) async fn health(State(app): State<AppState>) -> Response {
    let mut checks = dependency_checks(&app).await;
    checks.extend(loop_checks(&app));
    Health::response(checks)
}

/// Show metrics in Prometheus' text format.
///
/// Metrics of this process alone; workers and schedulers have their own listeners. The path is absent if the metrics of
/// this process have a listener of their own (`METRICS_LISTEN`).
#[utoipa::path(
    get, path = "/metrics", tag = "health", security(()),
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")),
)]
pub(crate) async fn metrics(State(app): State<AppState>) -> Response {
    if app.server.metrics_listen.is_some() {
        return layers::unknown_path().await.into_response();
    }
    render(&app)
}

/// Returns the part of the `METRICS_LISTEN` listener that shows metrics and health.
pub(crate) fn metrics_router() -> Router<AppState> {
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(async |State(app): State<AppState>| render(&app)))
}

fn render(app: &AppState) -> Response {
    let (open, idle) = app.store.connections();
    metrics::gauge!("rts_db_connections", "state" => "open").set(open);
    metrics::gauge!("rts_db_connections", "state" => "idle").set(u32::try_from(idle).unwrap_or(u32::MAX));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}
