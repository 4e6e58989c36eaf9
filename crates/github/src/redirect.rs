//! Redirects: a renamed organisation or repository, or a moved API.

use http::{Method, header};
use url::Url;

use crate::call::{Call, Reply};

/// Maximum number of redirects followed for one call.
pub(crate) const MAX_REDIRECTS: u32 = 3;

/// Returns path and query of a GET's redirect target, if that is on the API's own host: our token is sent to no other
/// host.
pub(crate) fn target(call: &Call, reply: &Reply, api: &Url) -> Option<String> {
    if call.method != Method::GET || !matches!(reply.status.as_u16(), 301 | 302 | 307 | 308) {
        return None;
    }
    let base = api.join(&call.path).ok()?;
    let to = base.join(location(reply)?).ok()?;
    let same = to.scheme() == api.scheme()
        && to.host_str() == api.host_str()
        && to.port_or_known_default() == api.port_or_known_default();
    let query = to.query().map(|query| format!("?{query}")).unwrap_or_default();
    same.then(|| format!("{}{query}", to.path()))
}

/// Returns the operator's message for a redirect that is not followed.
pub(crate) fn refusal(call: &Call, reply: &Reply) -> String {
    let status = reply.status.as_u16();
    let place = location(reply).map(|to| to.split(['?', '#']).next().unwrap_or_default());
    let place: String =
        place.unwrap_or("another place").chars().filter(|c| !c.is_control()).take(200).collect();
    if call.method == Method::GET {
        return format!(
            "GitHub redirects this to {place} ({status}); only a few redirects on the API's own host are followed, check \
             GITHUB_API_URL"
        );
    }
    format!(
        "GitHub has moved this to {place} ({status}); the organisation, enterprise or repository was probably renamed: \
         configure its new name"
    )
}

fn location(reply: &Reply) -> Option<&str> {
    reply.headers.get(header::LOCATION)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn followed(call: &Call, status: u16, location: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::LOCATION, location.parse().unwrap())]);
        let reply =
            Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: bytes::Bytes::new() };
        target(call, &reply, &"https://ghes.example.com/api/v3".parse().unwrap())
    }

    #[test]
    fn get_is_followed_on_the_same_host_only() {
        let get = Call::get("op", "/orgs/old/x?page=2".into());
        for status in [301, 302, 307, 308] {
            let there = followed(&get, status, "https://ghes.example.com/api/v3/organizations/7/x?page=2");
            assert_eq!(there.as_deref(), Some("/api/v3/organizations/7/x?page=2"));
        }
        assert_eq!(followed(&get, 307, "/api/v3/y").as_deref(), Some("/api/v3/y"));
        assert_eq!(followed(&get, 307, "https://GHES.example.com:443/y").as_deref(), Some("/y"));
        for elsewhere in [
            "https://evil.example/y",
            "http://ghes.example.com/y",
            "https://ghes.example.com:8443/y",
            "//evil.example/y",
        ] {
            assert_eq!(followed(&get, 307, elsewhere), None, "{elsewhere}");
        }
        assert_eq!(followed(&get, 304, "/y"), None);
        assert_eq!(followed(&get, 300, "/y"), None);
        assert_eq!(followed(&Call::post("op", "/x".into()), 307, "/y"), None);
        assert_eq!(followed(&Call::delete("op", "/x".into()), 301, "/y"), None);
    }
}
