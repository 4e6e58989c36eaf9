//! Who may ask: a stranger becomes a caller, a body a value, an error a problem. Nothing here waits for GitHub.
//!
//! The walk of a request: [`layers`] → [`caller`] → `routes/` → domain → store → queue → answer.

mod access;
mod address_limit;
mod app;
mod body;
mod caller;
mod credential;
mod error;
mod health;
mod json;
mod layers;
mod limit;
mod lists;
mod openapi;
mod origin;
mod page;
mod prefer;
mod queueing;
mod refusal_log;
mod routes;
mod serve;
mod signature_alarm;
mod strangers;
mod text;
mod views;
mod waiting;
mod webhook_intake;
mod webhook_signature;

use std::time::Duration;

use axum::{Router, middleware};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

pub use app::{AppState, Dependencies};
pub use serve::{ConnectionLimits, serve, serve_within};

fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::Description::openapi())
        .nest("/api/v1", routes::router())
        .merge(health::router())
}

fn completed(mut description: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    openapi::name_calls(&mut description);
    openapi::refine_parameters(&mut description);
    openapi::split_provision_body(&mut description);
    description
}

/// The OpenAPI 3.1 description of everything the API answers.
pub fn description() -> utoipa::openapi::OpenApi {
    completed(documented().into_openapi())
}

/// The whole HTTP side: the API, its description at `/openapi.json`, Swagger UI at `/docs`, health and metrics.
pub fn router(app: AppState) -> Router {
    let (router, description) = documented().split_for_parts();
    let description = completed(description);
    let https = app.server.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    router
        .merge(SwaggerUi::new("/docs").url("/openapi.json", description))
        .fallback(layers::no_route)
        .method_not_allowed_fallback(layers::no_method)
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn(layers::request_context))
                .layer(middleware::from_fn(layers::count))
                .layer(middleware::from_fn_with_state(https, layers::strict_transport))
                .layer(CatchPanicLayer::custom(layers::panicked)),
        )
        .with_state(app)
}

/// What the listener of `METRICS_LISTEN` serves: `/metrics` and `/health/live`.
pub fn metrics_router(app: AppState) -> Router {
    health::own_router().with_state(app)
}

/// Looks after what the API keeps in memory, and whether it still hears the news of jobs, until `draining`.
pub async fn upkeep(app: AppState) {
    let beat = app.progress.register("api_upkeep", Duration::from_mins(2));
    let news = app.progress.register("api_news", Duration::from_mins(2));
    let mut heard = app.announcements.last_progress();
    let mut interval = tokio::time::interval(Duration::from_secs(30));
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = app.draining.cancelled() => break,
        }
        app.forget_idle();
        refusal_log::flush(&app, false).await;
        app.strangers().forget_idle();
        app.intake().forget_idle();
        if let Ok(now) = app.store.now().await {
            app.verifier.set_clock(now);
        }
        if app.announcements.last_progress() != heard {
            heard = app.announcements.last_progress();
            news.tick();
        }
        beat.tick();
    }
    refusal_log::flush(&app, true).await;
    news.retire();
    beat.retire();
}
