//! What every request passes on its way in and out.

use std::{any::Any, time::Duration};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::{Problem, ProblemCode};
use runtime::trace::{self, TraceContext};
use tokio::time::{Instant, timeout};
use tracing::Instrument;
use uuid::Uuid;

use crate::{error::ApiError, limit::Left, origin::RequestId};

/// The request id's header, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest time until a request is answered (a stream may go on): the longest wait and some.
const PATIENCE: Duration = Duration::from_secs(40);

/// Gives the request an id, a trace and a span; counts and logs its answer; bounds its time.
pub(crate) async fn outermost(mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let parent = request.headers().get(trace::HEADER).and_then(|value| value.to_str().ok());
    let context = TraceContext::from_header(parent).child();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(context);
    let left = Left::default();
    request.extensions_mut().insert(left.clone());
    let span = tracing::info_span!("request", %method, path, request_id = %id, trace_id = %context.trace_id(),
        caller = tracing::field::Empty, job = tracing::field::Empty, team = tracing::field::Empty);
    async move {
        let start = Instant::now();
        let mut response = timeout(PATIENCE, next.run(request)).await.unwrap_or_else(|_| {
            ApiError(Problem::new(ProblemCode::RequestTimeout, "The request was not complete in time."))
                .into_response()
        });
        finish(&mut response, &id);
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

fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    given.filter(fits).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

fn finish(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
}

/// Counts an answer by its route, never by its path: paths hold ids.
pub(crate) async fn count(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let method = request.method().to_string();
    let start = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("rts_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!("rts_http_request_seconds", "route" => route).record(start.elapsed().as_secs_f64());
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
