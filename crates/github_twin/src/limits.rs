//! Configured rate limits: GitHub's as documented, fewer, or none.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// A limit in a fixed window that starts with its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Number of requests or points.
    pub limit: u32,
    /// Length of the window.
    pub window_seconds: u64,
}

impl Bucket {
    /// Returns a limit of `limit` in `window_seconds`.
    pub const fn new(limit: u32, window_seconds: u64) -> Self {
        Self { limit, window_seconds }
    }

    pub(crate) fn window(self) -> TimeDelta {
        TimeDelta::seconds(i64::try_from(self.window_seconds.max(1)).unwrap_or(3600))
    }
}

/// Active limits. `None` disables one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Whether responses have `x-ratelimit-*` headers.
    pub headers: bool,
    /// Requests per installation and resource.
    pub primary: Option<Bucket>,
    /// Points per installation and operation: reads 1, writes 5.
    pub points: Option<Bucket>,
    /// Concurrent requests.
    pub concurrency: Option<u32>,
    /// Runner registrations per organisation or repository.
    pub registrations: Option<Bucket>,
    /// Content-creating requests (POST) per installation. It is unknown whether GitHub counts JIT calls here.
    pub content: Option<Bucket>,
    /// Whether a secondary limit sends `retry-after`.
    pub send_retry_after: bool,
    /// Status of refused requests: 403 or 429.
    pub status: u16,
    /// `x-ratelimit-resource` of `generate-jitconfig`.
    pub jit_resource: String,
    /// Time after a pause or an exhausted window was reported, in ms. Requests that arrive within it were in flight:
    /// they are
    /// refused but are no violation.
    pub grace_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::github()
    }
}

impl Limits {
    /// Returns GitHub's documented limits for an App installation on github.com.
    pub fn github() -> Self {
        Self {
            headers: true,
            primary: Some(Bucket::new(5000, 3600)),
            points: Some(Bucket::new(900, 60)),
            concurrency: Some(100),
            registrations: Some(Bucket::new(1500, 300)),
            content: None,
            send_retry_after: true,
            status: 403,
            jit_resource: "core".into(),
            grace_ms: 500,
        }
    }

    /// Returns no limits and no headers: the default of an Enterprise Server.
    pub fn off() -> Self {
        let none = Self::github();
        Self { headers: false, primary: None, points: None, concurrency: None, registrations: None, ..none }
    }

    /// Divides every limit by `by`, at least 1; windows stay.
    #[must_use]
    pub fn scaled_down(mut self, by: u32) -> Self {
        let by = by.max(1);
        let cut = |n: u32| (n / by).max(1);
        for bucket in [&mut self.primary, &mut self.points, &mut self.registrations, &mut self.content] {
            *bucket = bucket.map(|b| Bucket { limit: cut(b.limit), ..b });
        }
        self.concurrency = self.concurrency.map(cut);
        self
    }

    pub(crate) fn grace(&self) -> TimeDelta {
        TimeDelta::milliseconds(i64::try_from(self.grace_ms).unwrap_or(0))
    }
}
