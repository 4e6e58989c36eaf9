//! `/rate_limit`.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::Deserialize;

use crate::{call::Call, client::GitHub, error::GitHubError, headers::RateHeaders};

#[derive(Deserialize)]
struct Overview {
    resources: BTreeMap<String, Window>,
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
    /// Every primary window of this credential, free of primary cost; empty where limits are off (404).
    pub async fn rate_limit(&self) -> Result<Vec<RateHeaders>, GitHubError> {
        let call = Call::get("rate_limit", "/rate_limit".to_owned());
        let reply = match self.call(&call).await {
            Ok(reply) => reply,
            Err(GitHubError::Refused { status: 404, .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let overview: Overview = call.parse(&reply)?;
        overview.resources.into_iter().map(|(name, window)| read(&call, name, &window)).collect()
    }
}

fn read(call: &Call, resource: String, window: &Window) -> Result<RateHeaders, GitHubError> {
    Ok(RateHeaders {
        resource,
        limit: window.limit,
        remaining: window.remaining,
        used: window.used.unwrap_or(window.limit.saturating_sub(window.remaining)),
        reset_at: DateTime::from_timestamp(window.reset, 0)
            .ok_or_else(|| call.malformed("a reset beyond all time"))?,
    })
}
