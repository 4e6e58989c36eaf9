//! For probes and Prometheus; outside the API prefix and without a token.

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

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok` or `failing`.
    status: &'static str,
    /// The version that runs.
    version: &'static str,
    /// The commit it was built from, where the build said so (`RTS_COMMIT`).
    commit: Option<&'static str>,
    /// What was looked at, each `ok` or what is wrong.
    checks: Vec<Check>,
}

/// One thing looked at.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    /// Its name; keys of an issuer are `issuer_keys:` and the issuer's name.
    name: String,
    /// `ok`, or what is wrong.
    status: String,
    /// Whether the whole is failing with it: one of several issuers being away is not enough.
    #[serde(skip)]
    needed: bool,
}

impl Check {
    fn new(name: &str, fine: bool, otherwise: &str) -> Self {
        let status = if fine { "ok" } else { otherwise }.to_owned();
        Self { name: name.to_owned(), status, needed: true }
    }
}

impl Health {
    fn of(checks: Vec<Check>) -> Response {
        let fine = checks.iter().all(|check| check.status == "ok" || !check.needed);
        let (code, status) =
            if fine { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
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

/// Alive: every loop of this process has made progress lately.
///
/// For liveness probes: 503 means that a restart helps.
#[utoipa::path(
    get, path = "/health/live", tag = "health", security(()),
    responses(
        (status = 200, description = "Alive", body = Health),
        (status = 503, description = "A loop stands still; restart this process", body = Health),
    ),
)]
pub(crate) async fn live(State(app): State<AppState>) -> Response {
    Health::of(loops(&app))
}

fn loops(app: &AppState) -> Vec<Check> {
    let silent = app.progress.stalled();
    app.progress
        .names()
        .into_iter()
        .map(|name| Check::new(name, silent.iter().all(|silent| silent.name != name), "no progress"))
        .collect()
}

/// Ready: the database, the queue and the identity provider's keys are there.
///
/// For readiness probes: 503 means that requests would fail now.
#[utoipa::path(
    get, path = "/health/ready", tag = "health", security(()),
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "Something is away", body = Health),
    ),
)]
pub(crate) async fn ready(State(app): State<AppState>) -> Response {
    Health::of(needs(&app).await)
}

async fn needs(app: &AppState) -> Vec<Check> {
    let patience = Duration::from_secs(2);
    let (database, queue) =
        tokio::join!(timeout(patience, app.store.ping()), timeout(patience, app.queue.ping()));
    let mut checks = vec![
        Check::new("database", matches!(database, Ok(Ok(()))), "unavailable"),
        Check::new("queue", matches!(queue, Ok(Ok(()))), "unavailable"),
        Check::new("serving", !app.draining.is_cancelled(), "draining"),
    ];
    let any = app.verifier.ready();
    checks.extend(app.verifier.issuers().map(|(name, usable)| Check {
        needed: !any,
        ..Check::new(&format!("issuer_keys:{name}"), usable, "unavailable")
    }));
    checks
}

/// Both at once, for people.
///
/// With the version, and each check by name; always answered, 503 when one check fails.
#[utoipa::path(
    get, path = "/health", tag = "health", security(()),
    responses(
        (status = 200, description = "All is well", body = Health),
        (status = 503, description = "Something is wrong", body = Health),
    ),
)]
pub(crate) async fn health(State(app): State<AppState>) -> Response {
    let mut checks = needs(&app).await;
    checks.extend(loops(&app));
    Health::of(checks)
}

/// Metrics in Prometheus' text format; not here where they have a listener of their own (`METRICS_LISTEN`).
///
/// Of this process alone; workers and schedulers have listeners of their own.
#[utoipa::path(
    get, path = "/metrics", tag = "health", security(()),
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")),
)]
pub(crate) async fn metrics(State(app): State<AppState>) -> Response {
    if app.server.metrics_listen.is_some() {
        return layers::no_route().await.into_response();
    }
    render(&app)
}

/// The listener of `METRICS_LISTEN`: metrics, and whether the process lives.
pub(crate) fn own_router() -> Router<AppState> {
    Router::new()
        .route("/health/live", get(live))
        .route("/metrics", get(async |State(app): State<AppState>| render(&app)))
}

fn render(app: &AppState) -> Response {
    let (open, idle) = app.store.connections();
    metrics::gauge!("rts_db_connections", "state" => "open").set(open);
    metrics::gauge!("rts_db_connections", "state" => "idle").set(u32::try_from(idle).unwrap_or(u32::MAX));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}
