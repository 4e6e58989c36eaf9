//! How much one caller may ask of one replica.

use std::time::Duration;

use domain::{Problem, ProblemCode, Requester};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use runtime::config::ServerConfig;

/// A bucket for each caller. It protects this process; GitHub's budget is guarded elsewhere.
#[derive(Debug)]
pub(crate) struct Limiter(DefaultKeyedRateLimiter<Requester>);

impl Limiter {
    pub(crate) fn new(server: &ServerConfig) -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(server.rate_per_minute).allow_burst(server.rate_burst)))
    }

    /// Counts one request.
    ///
    /// # Errors
    /// `rate_limited` with the seconds to wait.
    pub(crate) fn admit(&self, caller: Requester) -> Result<(), Problem> {
        self.0.check_key(&caller).map_err(|refused| {
            let wait = refused.wait_time_from(self.0.clock().now());
            Problem::new(ProblemCode::RateLimited, "You are asking too often; slow down.")
                .retry_after(ceil(wait))
        })
    }

    /// Forgets callers whose bucket is full again, so that the table stays as small as the recent callers.
    pub(crate) fn forget_idle(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }
}

/// Whole seconds, at least one.
pub(crate) fn ceil(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
