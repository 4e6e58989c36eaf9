//! Middleware of every request: ids, tracing, metrics, time limit and security headers.

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
    traces::{self, SpanPlace},
};
use tokio::time::{Instant, timeout};
use tracing::Instrument;
use uuid::Uuid;

use crate::{error::ApiError, limit::RemainingQuota, origin::RequestId};

/// Header with the request id, of requests and responses.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header that returns the request id chosen by the client.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// Time limit for a response (a stream may go on): the longest wait and a margin.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// Longest path in a log line, in characters.
const MAX_LOGGED_PATH: usize = 200;
/// `Allow` header of a method that is refused before routing.
const KNOWN_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Gives the request an id, a trace and a span; counts and logs the response; limits its time. A request with an
/// unknown method or without exactly one host is refused before any of it is logged.
pub(crate) async fn request_context(mut request: Request, next: Next) -> Response {
    let client_id = client_request_id(request.headers());
    let id = Uuid::now_v7().to_string();
    if let Some(mut refused) = refuse_invalid_head(&request) {
        count_answer(method_label(request.method()), "none", refused.status());
        set_headers(&mut refused, &id, client_id.as_deref());
        return refused;
    }
    let parent = request.headers().get(trace::HEADER).and_then(|value| value.to_str().ok());
    let caller: Option<TraceContext> = parent.and_then(|parent| parent.parse().ok());
    let context = TraceContext::received(caller).child();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(MAX_LOGGED_PATH).collect();
    request.extensions_mut().insert(RequestId { ours: id.clone(), client: client_id.clone() });
    request.extensions_mut().insert(context);
    let quota = RemainingQuota::default();
    request.extensions_mut().insert(quota.clone());
    let span = tracing::info_span!("request", %method, path, route, request_id = %id, client_request_id = client_id,
        trace_id = %context.trace_id(), caller = tracing::field::Empty, job = tracing::field::Empty,
        team = tracing::field::Empty, status = tracing::field::Empty);
    traces::place(&span, SpanPlace { own: context, parent: caller, linked: false });
    async move {
        let start = Instant::now();
        let mut response = timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
            ApiError(Problem::new(ProblemCode::RequestTimeout, "The request took too long.")).into_response()
        });
        set_headers(&mut response, &id, client_id.as_deref());
        quota.write(response.headers_mut());
        tracing::Span::current().record("status", response.status().as_u16());
        tracing::info!(
            status = response.status().as_u16(),
            took_ms = start.elapsed().as_secs_f64() * 1000.0,
            "request answered"
        );
        response
    }
    .instrument(span)
    .await
}

/// Returns a refusal for extension methods and for requests without exactly one host (RFC 9112, 3.2).
fn refuse_invalid_head(request: &Request) -> Option<Response> {
    let method = request.method();
    if method_label(method) == OTHER && ![Method::TRACE, Method::CONNECT].contains(method) {
        let problem = Problem::new(ProblemCode::MethodNotAllowed, "This HTTP method is not supported.");
        let mut response = ApiError(problem).into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(KNOWN_METHODS));
        return Some(response);
    }
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11) {
        return None;
    }
    let problem = Problem::new(ProblemCode::MalformedRequest, "Send exactly one Host header.")
        .with_errors(vec![FieldError::new("header:Host", "required exactly once")]);
    Some(ApiError(problem).into_response())
}

/// Returns the client's own request id if it is short and plain. It is kept beside ours and never replaces it.
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok())?;
    let plain = given.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    (plain && (1..=64).contains(&given.len())).then(|| given.to_owned())
}

fn set_headers(response: &mut Response, id: &str, client_id: Option<&str>) {
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

/// Counts a response by its route, never by its path: paths contain ids.
pub(crate) async fn count_request(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
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

/// Returns the method as a metric label. Clients choose methods freely; labels are a fixed set.
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

/// Adds `Strict-Transport-Security` if the service's public address is https.
pub(crate) async fn strict_transport(State(https): State<bool>, request: Request, next: Next) -> Response {
    const YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");
    let mut response = next.run(request).await;
    if https {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, YEAR);
    }
    response
}

/// Answers health checks alone, on connections beyond the limit.
pub(crate) async fn only_health(request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/health") {
        return next.run(request).await;
    }
    let detail = "The service has too many connections; try again shortly.";
    let mut response = ApiError(Problem::new(ProblemCode::Overloaded, detail).retry_after(5)).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Response for an unknown path.
pub(crate) async fn unknown_path() -> ApiError {
    ApiError(Problem::new(ProblemCode::NotFound, "No resource at this path; `/docs` lists the API."))
}

/// Response for a method that the path does not support. axum adds the `Allow` header.
pub(crate) async fn unsupported_method() -> ApiError {
    ApiError(Problem::new(ProblemCode::MethodNotAllowed, "This path does not support this method."))
}

/// Response of a handler that panicked. It does not contain the panic's message.
pub(crate) fn panic_response(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("handler panicked");
    let problem = Problem::new(ProblemCode::InternalError, "Internal error; it has been logged.");
    let mut response = ApiError(problem).into_response();
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
