//! Problems of the API as pages, for a browser that opens a path of the API.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use domain::Problem;

use super::error::problem_page;

/// Returns whether a request prefers a page to JSON, as browsers do.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|one| one.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
}

/// Middleware: a problem in answer to a browser's GET becomes a page with the same status.
pub(crate) async fn readable_problems(request: Request, next: Next) -> Response {
    let is_readable = request.method() == Method::GET && wants_page(request.headers());
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    if !is_readable {
        return response;
    }
    let mut page = problem_page(&problem, is_api);
    if let Some(challenge) = response.headers_mut().remove(header::WWW_AUTHENTICATE) {
        page.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    page.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    page
}
