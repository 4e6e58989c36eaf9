//! Which rate limits hold: GitHub's as documented, fewer, or none.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// So many in a fixed window that starts with the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// How many.
    pub limit: u32,
    /// Length of the window.
    pub window_seconds: u64,
}

impl Bucket {
    /// `limit` in `window_seconds`.
    pub const fn new(limit: u32, window_seconds: u64) -> Self {
        Self { limit, window_seconds }
    }

    pub(crate) fn window(self) -> TimeDelta {
        TimeDelta::seconds(i64::try_from(self.window_seconds.max(1)).unwrap_or(3600))
    }
}

/// Which limits hold. `None` switches one off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Whether answers carry `x-ratelimit-*`.
    pub headers: bool,
    /// Requests per installation and resource.
    pub primary: Option<Bucket>,
    /// Points per installation and operation: reads 1, writes 5.
    pub points: Option<Bucket>,
    /// Requests at once.
    pub concurrency: Option<u32>,
    /// Runner registrations per organisation or repository.
    pub registrations: Option<Bucket>,
    /// Content-creating requests (POST) per installation; whether GitHub counts JIT calls so is not known.
    pub content: Option<Bucket>,
    /// Whether a secondary limit sends `retry-after`.
    pub send_retry_after: bool,
    /// Status of limited answers: 403 or 429.
    pub status: u16,
    /// `x-ratelimit-resource` of `generate-jitconfig`.
    pub jit_resource: String,
    /// Requests that arrive within this time after the client was told to stop were under way already:
    /// they are refused but are no violation.
    pub grace_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::github()
    }
}

impl Limits {
    /// What GitHub documents for an App installation on github.com.
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

    /// No limits and no headers: an Enterprise Server as installed.
    pub fn off() -> Self {
        let none = Self::github();
        Self { headers: false, primary: None, points: None, concurrency: None, registrations: None, ..none }
    }

    /// Every limit divided by `by`, at least 1; windows stay.
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
