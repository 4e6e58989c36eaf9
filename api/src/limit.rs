//! Rate limits per caller, in one replica.

use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock},
};

use axum::http::{HeaderMap, HeaderValue};
use domain::{Problem, ProblemCode, Requester, whole_seconds};
use governor::{
    DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::{StateInformationMiddleware, StateSnapshot},
};
use operations::RefusalLimit;
use runtime::config::ServerConfig;

/// Divisor of a caller's rate: the limit on its requests that cost GitHub budget.
const COSTLY_DIVISOR: u32 = 10;

type Buckets = DefaultKeyedRateLimiter<Requester, StateInformationMiddleware>;

/// Token buckets per caller. They protect this process; the queue protects GitHub's budget.
#[derive(Debug)]
pub(crate) struct Limiter {
    buckets: Buckets,
    /// Buckets for the pages of the dashboard, as large as those for the API.
    pages: DefaultKeyedRateLimiter<Requester>,
    costly: DefaultKeyedRateLimiter<Requester>,
    quota: Quota,
    /// Bucket for refusals, which write rows: 1/60 of the request rate and 3/10 of the burst.
    refusals: DefaultKeyedRateLimiter<Requester>,
}

/// State of a caller's bucket for the response headers. The outermost layer puts it into the request, and the caller's
/// extractor fills it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RemainingQuota(Arc<OnceLock<QuotaState>>);

#[derive(Clone, Copy, Debug)]
struct QuotaState {
    quota: Quota,
    remaining: u32,
}

impl Limiter {
    pub(crate) fn new(server: &ServerConfig) -> Self {
        let quota = Quota::per_minute(server.rate_per_minute).allow_burst(server.rate_burst);
        let part = |whole: NonZeroU32, by: u32, of: u32| {
            let part = u64::from(whole.get()) * u64::from(by) / u64::from(of);
            u32::try_from(part).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
        };
        let (minute, burst) = (server.rate_per_minute, server.rate_burst);
        let costly =
            Quota::per_minute(part(minute, 1, COSTLY_DIVISOR)).allow_burst(part(burst, 1, COSTLY_DIVISOR));
        let refusals = Quota::per_minute(part(minute, 1, 60)).allow_burst(part(burst, 3, 10));
        Self {
            buckets: RateLimiter::keyed(quota).with_middleware(),
            pages: RateLimiter::keyed(quota),
            costly: RateLimiter::keyed(costly),
            quota,
            refusals: RateLimiter::keyed(refusals),
        }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// `rate_limited` with the seconds to wait.
    pub(crate) fn admit(&self, caller: Requester, quota: Option<&RemainingQuota>) -> Result<(), Problem> {
        let outcome = self.buckets.check_key(&caller);
        let remaining = outcome.as_ref().map_or(0, StateSnapshot::remaining_burst_capacity);
        if let Some(quota) = quota {
            let _ = quota.0.set(QuotaState { quota: self.quota, remaining });
        }
        outcome.map(drop).map_err(|refused| rate_limited(&refused, "Too many requests; send fewer."))
    }

    /// Counts one page, action or live stream of the dashboard. Someone who reads many pages does not stop their own
    /// scripts, and their scripts do not stop the pages.
    ///
    /// # Errors
    /// `rate_limited` with the seconds to wait.
    pub(crate) fn admit_page(&self, caller: Requester) -> Result<(), Problem> {
        let detail = "Too many pages at once; wait a moment, then load the page again.";
        self.pages.check_key(&caller).map_err(|refused| rate_limited(&refused, detail))
    }

    /// Counts one request that makes the service call GitHub. The limit is a tenth of the caller's rate.
    ///
    /// # Errors
    /// `rate_limited` with the seconds to wait.
    pub(crate) fn admit_costly(&self, caller: Requester) -> Result<(), Problem> {
        let detail = "Too many requests that call GitHub; send fewer.";
        self.costly.check_key(&caller).map_err(|refused| rate_limited(&refused, detail))
    }

    /// Removes the callers whose bucket is full again.
    pub(crate) fn forget_idle(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
        for limiter in [&self.pages, &self.costly, &self.refusals] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

fn rate_limited(refused: &NotUntil<<DefaultClock as Clock>::Instant>, detail: &'static str) -> Problem {
    let wait = refused.wait_time_from(DefaultClock::default().now());
    Problem::new(ProblemCode::RateLimited, detail).retry_after(whole_seconds(wait))
}

impl RefusalLimit for Limiter {
    fn admit_refusal(&self, caller: Requester) -> Result<(), Problem> {
        let detail = "Too many of your requests are refused; correct them or send fewer.";
        self.refusals.check_key(&caller).map_err(|refused| rate_limited(&refused, detail))
    }
}

impl RemainingQuota {
    /// Writes `RateLimit-Policy` (requests and seconds) and `RateLimit` (requests left and seconds until the bucket is
    /// full), as in draft-ietf-httpapi-ratelimit-headers.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Some(QuotaState { quota, remaining }) = self.0.get() else { return };
        let burst = quota.burst_size().get();
        let full = quota.replenish_interval() * burst.saturating_sub(*remaining);
        let lines = [
            (
                "ratelimit-policy",
                format!("\"caller\";q={burst};w={}", whole_seconds(quota.burst_size_replenished_in())),
            ),
            ("ratelimit", format!("\"caller\";r={remaining};t={}", full.as_secs())),
        ];
        for (name, line) in lines {
            if let Ok(value) = HeaderValue::from_str(&line) {
                headers.insert(name, value);
            }
        }
    }
}
