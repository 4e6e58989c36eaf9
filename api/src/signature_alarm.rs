//! Security events about wrong webhook signatures. Anyone who can reach the service can send them, so it writes at most
//! one event per minute and address and limits its own work.

use std::num::NonZeroU32;

use domain::Origin;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::json;

use store::{Result, Store};

use crate::address_limit::display_network;

/// Maximum number of wrong signatures per minute that this process looks up in the database.
const MAX_CHECKED_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// Limit of this process on lookups.
#[derive(Debug)]
pub(crate) struct SignatureAlarm(DefaultDirectRateLimiter);

impl SignatureAlarm {
    pub(crate) fn new() -> Self {
        Self(RateLimiter::direct(Quota::per_minute(MAX_CHECKED_PER_MINUTE)))
    }

    /// Writes a security event unless the address has one of the last minute.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn record(&self, store: &Store, origin: &Origin, event: &str) -> Result<()> {
        if self.0.check().is_err() {
            return Ok(());
        }
        let address = origin.ip.map_or_else(|| "unknown".to_owned(), display_network);
        let details = json!({ "address": address, "ip": origin.ip, "user_agent": origin.user_agent,
            "request_id": origin.request_id, "event": event });
        if store.conn().await?.audit().write_signature_event(&address, &details).await? {
            tracing::warn!(address, "webhook refused: wrong signature");
        }
        Ok(())
    }
}
