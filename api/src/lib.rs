//! HTTP API and dashboard: turns requests into authorised callers and checked commands, and errors into problem documents.
//!
//! The way of a request: `layers.rs` → `caller.rs` → `routes/` → operations → store → queue → response. No handler calls
//! GitHub.

mod access;
mod address_limit;
mod app;
mod body;
mod caller;
mod credential;
mod deprecation;
mod error;
mod filters;
mod health;
mod layers;
mod limit;
mod lists;
mod openapi;
mod origin;
mod page;
mod pre_auth;
mod prefer;
mod queueing;
mod routes;
mod serve;
mod shell_client;
mod signature_alarm;
mod ui;
mod waiting;
mod warning;
mod webhook_intake;
mod webhook_signature;

use std::{sync::LazyLock, time::Duration};

use axum::{Router, http::header::CONTENT_TYPE, middleware, response::IntoResponse, routing::get};
use bytes::Bytes;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

pub use app::{AppState, Dependencies, SignIn};
pub use serve::{ConnectionLimits, serve, serve_within};
pub use ui::dashboard_routes;

fn documented_router() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::Description::openapi())
        .nest("/api/v1", routes::router())
        .merge(health::router())
}

fn complete_description(mut description: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    openapi::set_operation_ids(&mut description);
    openapi::refine_parameters(&mut description);
    openapi::drop_null_defaults(&mut description);
    openapi::split_provision_body(&mut description);
    description
}

/// Returns the OpenAPI 3.1 description of the whole API.
pub fn description() -> utoipa::openapi::OpenApi {
    complete_description(documented_router().into_openapi())
}

/// Returns the JSON Schema of teams files.
pub fn teams_schema() -> serde_json::Value {
    routes::teams_schema()
}

/// Returns the router of the whole HTTP side: the dashboard, the API, its description at `/openapi.json`, Swagger UI at `/docs`, the
/// schema of teams files, health and metrics.
pub fn router(app: AppState) -> Router {
    let router = Router::from(documented_router());
    let docs = if app.server.public_docs { documents() } else { Router::new() };
    let https = app.server.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    router
        .merge(ui::router(&app))
        .merge(docs)
        .route("/schemas/teams.json", get(routes::serve_schema))
        .route("/rts.sh", get(shell_client::serve))
        .fallback(layers::unknown_path)
        .method_not_allowed_fallback(layers::unsupported_method)
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn(layers::request_context))
                .layer(middleware::from_fn(layers::count_request))
                .layer(middleware::from_fn_with_state(https, layers::strict_transport))
                .layer(middleware::from_fn(deprecation::announce))
                .layer(middleware::from_fn(ui::readable_problems))
                .layer(CatchPanicLayer::custom(layers::panic_response)),
        )
        .with_state(app)
}

/// Returns the router of the description at `/openapi.json` and of Swagger UI at `/docs`.
fn documents<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let viewer = SwaggerUi::new("/docs").config(Config::new(["/openapi.json"]));
    Router::from(viewer).route("/openapi.json", get(serve_description))
}

/// Serves the description as a text that is written once, at the first request.
async fn serve_description() -> error::ApiResult<impl IntoResponse> {
    static TEXT: LazyLock<serde_json::Result<Bytes>> =
        LazyLock::new(|| description().to_json().map(Bytes::from));
    let text = TEXT.as_ref().map_err(|error| error::internal(error))?;
    Ok(([(CONTENT_TYPE, "application/json")], text.clone()))
}

/// Returns the router of the `METRICS_LISTEN` listener: `/metrics`, health, `/docs` and `/openapi.json`.
pub fn metrics_router(app: AppState) -> Router {
    health::metrics_router().merge(documents()).with_state(app)
}

/// Runs the API's periodic work until `draining` is cancelled. It expires in-memory tables, writes summaries of
/// refusals and checks that announcements of jobs still arrive.
pub async fn upkeep(app: AppState) {
    let upkeep = app.progress.register("api_upkeep", Duration::from_mins(2));
    let announcements = app.progress.register("api_news", Duration::from_mins(2));
    let mut last_progress = app.announcements.last_progress();
    let mut interval = tokio::time::interval(Duration::from_secs(30));
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = app.draining.cancelled() => break,
        }
        app.forget_idle();
        app.flush_refusals(false).await;
        app.pre_auth().forget_idle();
        app.intake().forget_idle();
        if let Ok(now) = app.store.now().await {
            app.verifier.set_clock(now);
        }
        if app.announcements.last_progress() != last_progress {
            last_progress = app.announcements.last_progress();
            announcements.tick();
        }
        upkeep.tick();
    }
    app.flush_refusals(true).await;
    announcements.retire();
    upkeep.retire();
}
