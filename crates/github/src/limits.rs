//! The `/rate_limit` call.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{call::Call, client::GitHub, error::GitHubError, headers::RateHeaders};

#[derive(Deserialize)]
struct Overview {
    resources: BTreeMap<String, Box<RawValue>>,
}

#[derive(Deserialize)]
struct Window {
    limit: u64,
    remaining: u64,
    #[serde(default)]
    used: Option<u64>,
    reset: i64,
}

impl GitHub {
    /// Returns every primary window of this credential, without a charge; empty if limits are off (404).
    pub async fn rate_limit(&self) -> Result<Vec<RateHeaders>, GitHubError> {
        let call = Call::get("rate_limit", "/rate_limit".to_owned());
        let reply = match self.call(&call).await {
            Ok(reply) => reply,
            Err(GitHubError::Refused { status: 404, .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let overview: Overview = call.parse(&reply)?;
        Ok(overview.resources.into_iter().filter_map(|(name, window)| read(name, &window)).collect())
    }
}

/// Returns `None` for a window that cannot be read; the others are used.
fn read(resource: String, window: &RawValue) -> Option<RateHeaders> {
    let window: Window = serde_json::from_str(window.get()).ok()?;
    Some(RateHeaders {
        resource,
        limit: window.limit,
        remaining: window.remaining,
        used: window.used.unwrap_or(window.limit.saturating_sub(window.remaining)),
        reset_at: DateTime::from_timestamp(window.reset, 0)?,
    })
}
