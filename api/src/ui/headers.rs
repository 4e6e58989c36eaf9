//! Security headers of every page.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};

use super::{WholePage, compression, cookies, error::RefusedFragment};

/// No page has an inline script or style, so both come from this host alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'none'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
];

/// Adds the headers, and forbids to keep anything but assets.
pub(crate) fn add(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Middleware of the dashboard: adds the headers, compresses pages, and removes a notice once a page has shown it.
pub(super) async fn middleware(request: Request, next: Next) -> Response {
    let noticed =
        request.method() == Method::GET && cookies::read(request.headers(), cookies::NOTICE).is_some();
    let is_compressed = compression::is_wanted(&request);
    let is_fragment = request.headers().contains_key("hx-request");
    let mut response = next.run(request).await;
    if is_fragment && let Some(refused) = response.extensions_mut().remove::<RefusedFragment>() {
        // A whole page would be shown inside the page.
        let (mut head, _) = response.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        response = Response::from_parts(head, refused.render().into());
    }
    let is_page = response.extensions().get::<WholePage>().is_some();
    if is_page && is_compressed {
        response = compression::compress(response).await;
    }
    if noticed && is_page {
        response.headers_mut().append(header::SET_COOKIE, cookies::clear(cookies::NOTICE));
    }
    add(&mut response);
    response
}
