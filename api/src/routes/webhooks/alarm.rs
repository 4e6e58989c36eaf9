//! The alarm about wrong signatures. Whoever can reach us can send them, so it rings at most once a minute for one
//! address, and neither the table nor this process can be filled with it.

use std::{net::IpAddr, num::NonZeroU32};

use domain::Origin;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::json;

use crate::{app::App, error::ApiResult};

/// Wrong signatures of one minute that are looked at any further by this process.
const LOOKED_AT: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// How often this process may still ring.
#[derive(Debug)]
pub(crate) struct Alarm(DefaultDirectRateLimiter);

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(RateLimiter::direct(Quota::per_minute(LOOKED_AT)))
    }
}

/// Writes the security event, unless there was one a moment ago.
pub(super) async fn ring(app: &App, origin: &Origin, event: &str) -> ApiResult<()> {
    if app.alarm().0.check().is_err() {
        return Ok(());
    }
    let address = origin.ip.map_or_else(|| "unknown".to_owned(), network);
    let details = json!({ "address": address, "ip": origin.ip, "user_agent": origin.user_agent,
        "request_id": origin.request_id, "event": event });
    if app.store.read().await?.webhooks().alarm_unsigned(&address, &details).await? {
        tracing::warn!(address, "a webhook with a wrong signature was refused");
    }
    Ok(())
}

/// One address, or for IPv6 the network a single customer has.
fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_source() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::1"), of("2001:db8:1:2:ffff::9"));
        assert_eq!(of("::ffff:10.0.0.1"), "10.0.0.1");
    }
}
