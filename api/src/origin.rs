//! Origin of a request: client address, user agent and ids.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use domain::Origin;
use runtime::{config::TrustedProxies, trace::TraceContext};

use crate::{app::AppState, error::ApiError};

/// Maximum proxies between a client and this process.
const MAX_HOPS: usize = 32;

/// Ids of a request, set by the outermost layer.
#[derive(Clone, Debug)]
pub(crate) struct RequestId {
    /// Our unique id.
    pub(crate) ours: String,
    /// Id chosen by the client, if any.
    pub(crate) client: Option<String>,
}

/// The request's [`Origin`].
#[derive(Clone, Debug)]
pub(crate) struct RequestOrigin(pub(crate) Origin);

impl FromRequestParts<AppState> for RequestOrigin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let ids = parts.extensions.get::<RequestId>();
        Ok(Self(Origin {
            ip: client_ip(parts, app),
            user_agent: agent.map(|agent| agent.chars().filter(|c| !c.is_control()).take(200).collect()),
            request_id: ids.map(|ids| ids.ours.clone()),
            client_request_id: ids.and_then(|ids| ids.client.clone()),
            trace: parts.extensions.get::<TraceContext>().map(ToString::to_string),
        }))
    }
}

/// Returns the client's address, `None` if the connection has none (in tests of single handlers).
fn client_ip(parts: &Parts, app: &AppState) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip();
    Some(client_address(peer, &parts.headers, &app.server.trusted_proxies))
}

/// Returns the nearest address that is not a trusted proxy, read from the end of `X-Forwarded-For` (else of
/// `Forwarded`). The client can forge all entries further left.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let mut nearest = peer;
    for hop in forwarded_hops(headers).into_iter().take(MAX_HOPS) {
        if !trusted.contains(nearest) {
            break;
        }
        match hop {
            Some(address) => nearest = address,
            None => break,
        }
    }
    nearest
}

/// Returns the hops in the headers, the last one first; `None` for a hop that is not an address.
fn forwarded_hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lines = |name: &str| -> Vec<String> {
        let lines = headers.get_all(name).iter().rev().filter_map(|value| value.to_str().ok());
        lines.flat_map(|line| line.rsplit(',')).take(MAX_HOPS).map(|hop| hop.trim().to_owned()).collect()
    };
    let forwarded_for = lines("x-forwarded-for");
    if forwarded_for.is_empty() {
        return lines("forwarded").iter().map(|element| forwarded_address(element)).collect();
    }
    forwarded_for.iter().map(|hop| parse_address(hop)).collect()
}

/// Returns the `for` parameter of one element of `Forwarded` (RFC 7239).
fn forwarded_address(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    parse_address(node.trim().trim_matches('"'))
}

/// Parses an address as proxies write it: alone, with a port, in brackets, with a zone.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Some((inner, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return if port_fits { ipv6(inner) } else { None };
    }
    if let Some((host, port)) = text.split_once(':')
        && is_port(port)
        && host.contains('.')
    {
        return host.parse().ok().map(IpAddr::V4);
    }
    text.parse().ok().or_else(|| ipv6(text))
}

fn ipv6(text: &str) -> Option<IpAddr> {
    text.split('%').next().unwrap_or_default().parse().ok().map(IpAddr::V6)
}

fn is_port(text: &str) -> bool {
    // Azure adds the port, some proxies an obfuscated one (RFC 7239, 6.2).
    text.parse::<u16>().is_ok()
        || text.strip_prefix('_').is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted = TrustedProxies::parse("10.0.0.0/8, fd00::/8").unwrap();
        client_address("10.0.0.1".parse().unwrap(), &map, &trusted).to_string()
    }

    #[test]
    fn forwarded_for_is_read_in_every_form_of_real_proxies() {
        for (line, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:54321", "203.0.113.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:54321", "2001:db8::7"),
            ("2001:db8::7%eth0", "2001:db8::7"),
            ("203.0.113.7:54321, 10.2.3.4:80", "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7:1, [fd00::1]:2,10.2.3.4", "203.0.113.7"),
            ("6.6.6.6, unknown", "10.0.0.1"),
            ("6.6.6.6, 203.0.113.7:99999", "10.0.0.1"),
            ("6.6.6.6, [2001:db8::7]x", "10.0.0.1"),
            ("6.6.6.6, ", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("x-forwarded-for", line)]), expected, "{line}");
        }
        assert_eq!(
            client(&[("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "10.1.1.1")]),
            "203.0.113.7"
        );
    }

    #[test]
    fn forwarded_is_read_where_there_is_no_forwarded_for() {
        for (line, expected) in [
            ("for=203.0.113.7", "203.0.113.7"),
            ("For=\"203.0.113.7:47011\";proto=https", "203.0.113.7"),
            ("proto=https; for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=203.0.113.7:_port, for=10.1.2.3", "203.0.113.7"),
            ("for=6.6.6.6, for=_hidden", "10.0.0.1"),
            ("for=6.6.6.6, for=unknown", "10.0.0.1"),
            ("by=203.0.113.43", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("forwarded", line)]), expected, "{line}");
        }
        assert_eq!(
            client(&[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "203.0.113.7")]),
            "203.0.113.7"
        );
    }

    #[test]
    fn header_of_an_untrusted_peer_is_not_read() {
        let headers =
            HeaderMap::from_iter([("x-forwarded-for".parse().unwrap(), "203.0.113.7".parse().unwrap())]);
        let peer: IpAddr = "198.51.100.1".parse().unwrap();
        assert_eq!(client_address(peer, &headers, &TrustedProxies::default()), peer);
    }
}
