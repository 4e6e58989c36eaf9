//! Compression of pages, for requests that no other site has made.

use std::io::Write;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};

/// Effort for what is compressed once a request.
const QUICK: Compression = Compression::new(4);
/// Smallest page that is compressed, in bytes.
const MIN_PAGE: usize = 1024;

/// Returns whether the answer may be compressed: the browser reads gzip, and the request comes from a page of this
/// service or from the person, not from another site. Answers to forms, which may show a secret, stay as they are.
pub(super) fn is_wanted(request: &Request) -> bool {
    let headers = request.headers();
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    request.method() == Method::GET && matches!(site, Some("same-origin" | "none")) && accepts_gzip(headers)
}

/// Returns a page compressed.
pub(super) async fn compress(page: Response) -> Response {
    let (mut head, body) = page.into_parts();
    // The body is in memory already.
    let Ok(plain) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let zipped = (plain.len() >= MIN_PAGE).then(|| gzip(&plain, QUICK)).flatten();
    let Some(zipped) = zipped else { return Response::from_parts(head, Body::from(plain)) };
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(zipped.len()));
    Response::from_parts(head, Body::from(zipped))
}

/// Returns the compressed bytes; `None` cannot happen, as memory is written to.
pub(super) fn gzip(bytes: &[u8], effort: Compression) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), effort);
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Returns whether an `Accept-Encoding` contains gzip with a quality above zero.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.unwrap_or_default().split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        let refused = parts
            .any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_where_it_is_accepted() {
        let accepts = |accepted: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            accepts_gzip(&headers)
        };
        for accepted in ["gzip", "br, GZIP;q=0.5", "deflate , gzip"] {
            assert!(accepts(accepted), "{accepted}");
        }
        for refused in ["", "br", "gzip;q=0", "identity, gzip; q=0"] {
            assert!(!accepts(refused), "{refused}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
