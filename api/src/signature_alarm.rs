//! The alarm about wrong signatures. Whoever can reach us can send them, so it rings at most once a minute for one
//! address, and neither the table nor this process can be filled with it.

use std::{net::IpAddr, num::NonZeroU32};

use domain::Origin;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::json;

use store::{Result, Store};

use crate::address_limit::network;

/// Wrong signatures of one minute that are looked at any further by this process.
const MAX_CHECKED_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// How often this process may still ring.
#[derive(Debug)]
pub(crate) struct SignatureAlarm(DefaultDirectRateLimiter);

impl SignatureAlarm {
    pub(crate) fn new() -> Self {
        Self(RateLimiter::direct(Quota::per_minute(MAX_CHECKED_PER_MINUTE)))
    }

    /// Writes the security event, unless there was one a moment ago.
    pub(crate) async fn record(&self, store: &Store, origin: &Origin, event: &str) -> Result<()> {
        if self.0.check().is_err() {
            return Ok(());
        }
        let address = origin.ip.map_or_else(|| "unknown".to_owned(), named);
        let details = json!({ "address": address, "ip": origin.ip, "user_agent": origin.user_agent,
            "request_id": origin.request_id, "event": event });
        if store.conn().await?.webhooks().alarm_unsigned(&address, &details).await? {
            tracing::warn!(address, "a webhook with a wrong signature was refused");
        }
        Ok(())
    }
}

/// One address, or for IPv6 the network a single customer has.
fn named(ip: IpAddr) -> String {
    match network(ip) {
        ip @ IpAddr::V4(_) => ip.to_string(),
        ip @ IpAddr::V6(_) => format!("{ip}/64"),
    }
}
