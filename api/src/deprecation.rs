//! `Deprecation` and `Sunset` headers of requests that use an old name (RFC 9745, RFC 8594).

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// A query parameter that has another name now.
struct OldParameter {
    name: &'static str,
    /// Time since which the name is deprecated, as RFC 9745 writes it.
    since: &'static str,
    /// Time until which the name works at least, as RFC 8594 writes it.
    until: &'static str,
}

/// Old names of `team` and `user`, from the predecessor: deprecated since 1 December 2026, kept through 2027.
const OLD_PARAMETERS: [OldParameter; 2] = [
    OldParameter { name: "team_id", since: "@1796083200", until: "Sat, 01 Jan 2028 00:00:00 GMT" },
    OldParameter { name: "user_identity", since: "@1796083200", until: "Sat, 01 Jan 2028 00:00:00 GMT" },
];

/// Says in the response that the request used an old name; a refusal says so too.
pub(crate) async fn announce(request: Request, next: Next) -> Response {
    let old = old_parameter(&request);
    let mut response = next.run(request).await;
    if let Some(old) = old {
        let headers = response.headers_mut();
        headers.insert(DEPRECATION, HeaderValue::from_static(old.since));
        headers.insert(SUNSET, HeaderValue::from_static(old.until));
        headers.append(header::LINK, HeaderValue::from_static("</docs>; rel=\"deprecation\""));
    }
    response
}

fn old_parameter(request: &Request) -> Option<&'static OldParameter> {
    let query = request.uri().query().filter(|_| request.uri().path().starts_with("/api/v1/"))?;
    OLD_PARAMETERS.iter().find(|old| query.split('&').any(|pair| pair.split('=').next() == Some(old.name)))
}
