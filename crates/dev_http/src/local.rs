//! Protection of local servers without passwords against DNS rebinding: requests that a browser sends to another site's
//! name, which resolves to loopback, are refused.

use std::net::SocketAddr;

use axum::{
    http::{HeaderMap, StatusCode, header::HOST},
    response::{IntoResponse, Response},
};
use url::{Host, Url};

/// Returns the refusal of a request to a loopback listener whose `Host` is not a loopback name with the listener's
/// port.
/// Returns `None` when the request may be served. Listeners on other addresses accept any name.
pub(crate) fn refusal(listen: SocketAddr, headers: &HeaderMap) -> Option<Response> {
    if !listen.ip().is_loopback() || names(listen.port(), headers) {
        return None;
    }
    let text = format!("Host must be 127.0.0.1:{0}, [::1]:{0} or localhost:{0}\n", listen.port());
    Some((StatusCode::MISDIRECTED_REQUEST, text).into_response())
}

fn names(port: u16, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let url = host.to_str().ok().and_then(|host| Url::parse(&format!("http://{host}/")).ok());
    url.is_some_and(|url| {
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        is_local
            && url.port_or_known_default() == Some(port)
            && url.path() == "/"
            && url.username().is_empty()
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn host_must_be_a_loopback_name_with_the_port() {
        let fits =
            |host: &'static str| names(8092, &HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]));
        for host in
            ["127.0.0.1:8092", "localhost:8092", "LOCALHOST:8092", "[::1]:8092", "issuer.localhost:8092"]
        {
            assert!(fits(host), "{host}");
        }
        for host in [
            "evil.example:8092",
            "evil.example",
            "127.0.0.1",
            "127.0.0.1:8091",
            "127.0.0.1.evil.example:8092",
            "localhost.evil.example:8092",
            "evil.example/@127.0.0.1:8092",
            "evil.example#@127.0.0.1:8092",
            "",
            "[::]:8092",
        ] {
            assert!(!fits(host), "{host}");
        }
        assert!(!names(8092, &HeaderMap::new()));
    }

    #[test]
    fn listener_that_others_may_reach_takes_any_name() {
        assert!(refusal("0.0.0.0:80".parse().unwrap(), &HeaderMap::new()).is_none());
        assert!(refusal("127.0.0.1:80".parse().unwrap(), &HeaderMap::new()).is_some());
    }
}
