//! Refusal of requests that another site makes a browser send.

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::{Problem, ProblemCode};

use super::error::UiError;
use crate::app::AppState;

/// Middleware: a request that may change something must come from a page of this host. Browsers say so by
/// `Sec-Fetch-Site`, older ones by `Origin`.
pub(super) async fn middleware(State(app): State<AppState>, request: Request, next: Next) -> Response {
    if request.method().is_safe() || comes_from_here(&app, request.headers()) {
        return next.run(request).await;
    }
    let detail = "This request did not come from a page of this service, so nothing was changed. Open the page again \
        and press the button there.";
    UiError::from(Problem::new(ProblemCode::CrossSiteRequest, detail)).into_response()
}

fn comes_from_here(app: &AppState, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text("origin") else { return false };
    if let Some(url) = &app.server.public_url {
        return origin == url.origin().ascii_serialization();
    }
    let host = text("host").unwrap_or_default();
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}
