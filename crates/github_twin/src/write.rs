//! Serialisation of responses.

use std::{borrow::Cow, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};

use crate::keys::hex;

/// Headers that a page of another origin may read.
const EXPOSED: &str = "ETag, Link, Location, Retry-After, X-GitHub-OTP, X-RateLimit-Limit, \
    X-RateLimit-Remaining, X-RateLimit-Used, X-RateLimit-Resource, X-RateLimit-Reset, X-OAuth-Scopes, \
    X-Accepted-OAuth-Scopes, X-Poll-Interval, X-GitHub-Media-Type, X-GitHub-Request-Id, Deprecation, Sunset";

/// A serialised response.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(Cow<'static, str>, String)>,
    pub(crate) body: Bytes,
}

/// Returns the `ETag` of a body for one credential: another token gives another tag, as on GitHub.
pub(crate) fn etag(headers: &HeaderMap, body: &str) -> String {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for name in ["authorization", "accept"] {
        hash.update(headers.get(name).map_or(&[][..], HeaderValue::as_bytes));
        hash.update(&[0]);
    }
    hash.update(body.as_bytes());
    format!("W/\"{}\"", hex(hash.finish().as_ref()))
}

/// Returns the response; with `drip` = (milliseconds, bytes) its body is sent in small pieces.
pub(crate) fn response(written: Written, drip: Option<(u64, usize)>) -> Response {
    let empty = written.body.is_empty();
    let body = match drip {
        Some((ms, bytes)) if !empty => trickle(written.body, Duration::from_millis(ms), bytes),
        _ => Body::from(written.body),
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(written.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if !empty {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert("x-github-media-type", HeaderValue::from_static("github.v3; format=json"));
    }
    headers.insert("server", HeaderValue::from_static("github.com"));
    headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
    headers.insert("access-control-expose-headers", HeaderValue::from_static(EXPOSED));
    for (name, value) in written.headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
        {
            headers.insert(name, value);
        }
    }
    response
}

fn trickle(body: Bytes, pause: Duration, size: usize) -> Body {
    Body::from_stream(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok::<_, std::convert::Infallible>(piece), rest))
    }))
}
