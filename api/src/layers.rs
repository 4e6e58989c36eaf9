//! What every request passes on its way in and out.

use std::{any::Any, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::{FieldError, Problem, ProblemCode};
use runtime::{
    series::OTHER,
    trace::{self, TraceContext},
};
use tokio::time::{Instant, timeout};
use tracing::Instrument;
use uuid::Uuid;

use crate::{error::ApiError, limit::RemainingQuota, origin::RequestId};

/// The request id's header, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header that returns the request id the client chose.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// Longest time until a request is answered (a stream may go on): the longest wait and some.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// Longest path in a log line, in characters.
const MAX_LOGGED_PATH: usize = 200;
/// Methods of `Allow` where a method is refused before any route is known.
const KNOWN_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Gives the request an id, a trace and a span; counts and logs its answer; bounds its time. A request whose method or
/// host is not HTTP's own is refused before anything of it is logged.
pub(crate) async fn request_context(mut request: Request, next: Next) -> Response {
    let client_id = client_request_id(request.headers());
    let id = Uuid::now_v7().to_string();
    if let Some(mut refused) = refuse_head(&request) {
        count_answer(method_label(request.method()), "none", refused.status());
        finish(&mut refused, &id, client_id.as_deref());
        return refused;
    }
    let parent = request.headers().get(trace::HEADER).and_then(|value| value.to_str().ok());
    let context = TraceContext::from_header(parent).child();
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(MAX_LOGGED_PATH).collect();
    request.extensions_mut().insert(RequestId { ours: id.clone(), client: client_id.clone() });
    request.extensions_mut().insert(context);
    let left = RemainingQuota::default();
    request.extensions_mut().insert(left.clone());
    let span = tracing::info_span!("request", %method, path, request_id = %id, client_request_id = client_id,
        trace_id = %context.trace_id(), caller = tracing::field::Empty, job = tracing::field::Empty,
        team = tracing::field::Empty);
    async move {
        let start = Instant::now();
        let mut response = timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
            ApiError(Problem::new(ProblemCode::RequestTimeout, "The request was not complete in time."))
                .into_response()
        });
        finish(&mut response, &id, client_id.as_deref());
        left.write(response.headers_mut());
        tracing::info!(
            status = response.status().as_u16(),
            took_ms = start.elapsed().as_secs_f64() * 1000.0,
            "answered"
        );
        response
    }
    .instrument(span)
    .await
}

/// Refuses extension methods, and requests without exactly one host (RFC 9112, 3.2).
fn refuse_head(request: &Request) -> Option<Response> {
    let method = request.method();
    if method_label(method) == OTHER && ![Method::TRACE, Method::CONNECT].contains(method) {
        let problem = Problem::new(ProblemCode::MethodNotAllowed, "This method is not known here.");
        let mut response = ApiError(problem).into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(KNOWN_METHODS));
        return Some(response);
    }
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11) {
        return None;
    }
    let problem = Problem::new(ProblemCode::MalformedRequest, "Send the Host header, once.")
        .with_errors(vec![FieldError::new("header:Host", "needed once")]);
    Some(ApiError(problem).into_response())
}

/// The client's own id of the request, where it is short and plain. It is kept beside ours and never replaces it.
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok())?;
    let plain = given.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    (plain && (1..=64).contains(&given.len())).then(|| given.to_owned())
}

fn finish(response: &mut Response, id: &str, client_id: Option<&str>) {
    let headers = response.headers_mut();
    for (name, id) in [(REQUEST_ID, Some(id)), (CLIENT_REQUEST_ID, client_id)] {
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(name, id);
        }
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
}

/// Counts an answer by its route, never by its path: paths hold ids.
pub(crate) async fn count(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let method = method_label(request.method());
    let start = Instant::now();
    let response = next.run(request).await;
    count_answer(method, &route, response.status());
    metrics::histogram!("rts_http_request_seconds", "route" => route).record(start.elapsed().as_secs_f64());
    response
}

fn count_answer(method: &'static str, route: &str, status: StatusCode) {
    metrics::counter!("rts_http_requests_total", "method" => method, "route" => route.to_owned(),
        "status" => status.as_u16().to_string())
    .increment(1);
}

/// The method as a metric label: clients choose methods freely, labels are a fixed set.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => OTHER,
    }
}

/// Adds `Strict-Transport-Security` where the service's own address is https.
pub(crate) async fn strict_transport(State(https): State<bool>, request: Request, next: Next) -> Response {
    const YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");
    let mut response = next.run(request).await;
    if https {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, YEAR);
    }
    response
}

/// Answers health checks alone: the service has no connection left for anything else.
pub(crate) async fn only_health(request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/health") {
        return next.run(request).await;
    }
    let detail = "The service has too many connections; try again shortly.";
    let mut response = ApiError(Problem::new(ProblemCode::Overloaded, detail).retry_after(5)).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// No such path.
pub(crate) async fn no_route() -> ApiError {
    ApiError(Problem::new(
        ProblemCode::NotFound,
        "There is nothing at this path; `/docs` shows what there is.",
    ))
}

/// The path knows other methods. The answer of the router, which names them, becomes a problem.
pub(crate) async fn no_method() -> ApiError {
    ApiError(Problem::new(ProblemCode::MethodNotAllowed, "This path does not know this method."))
}

/// A handler panicked: a fault of ours, told without its message.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    let problem =
        Problem::new(ProblemCode::InternalError, "Something went wrong on our side; it has been logged.");
    let mut response = ApiError(problem).into_response();
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
