//! Where a request came from.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use domain::Origin;
use runtime::{config::TrustedProxies, trace::TraceContext};

use crate::{app::App, error::ApiError};

/// The request's id, put there by the outermost layer.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// The request's [`Origin`].
#[derive(Clone, Debug)]
pub(crate) struct From_(pub(crate) Origin);

impl FromRequestParts<App> for From_ {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self(Origin {
            ip: peer.map(|peer| client_address(peer, &parts.headers, &app.server.trusted_proxies)),
            user_agent: agent.map(|agent| agent.chars().take(200).collect()),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
            trace: parts.extensions.get::<TraceContext>().map(ToString::to_string),
        }))
    }
}

/// The nearest address that is not a trusted proxy, read from the end of `X-Forwarded-For`: what stands further left
/// was written by whoever called.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let mut nearest = peer;
    let hops = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
    for hop in hops.flat_map(|line| line.rsplit(',')).take(32) {
        if !trusted.contains(nearest) {
            break;
        }
        match hop.trim().parse() {
            Ok(address) => nearest = address,
            Err(_) => break,
        }
    }
    nearest
}
