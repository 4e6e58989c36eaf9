//! Configurable faults between a client and GitHub.

use serde::{Deserialize, Serialize};

/// Kind of a fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The request waits before it is handled; it takes effect even if the client has disconnected by then.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// The body of the response is sent in small, slow pieces.
    SlowDrip {
        /// Milliseconds between pieces.
        ms: u64,
        /// Bytes per piece.
        bytes: usize,
    },
    /// This status without effect.
    Status {
        /// For example 502.
        status: u16,
    },
    /// The primary window is exhausted until it ends.
    PrimaryLimit {
        /// 403 or 429.
        status: u16,
        /// Seconds until the window starts anew; `None` keeps its end.
        #[serde(default)]
        reset_in: Option<u64>,
    },
    /// A secondary limit: a pause for the whole installation.
    SecondaryLimit {
        /// 403 or 429.
        status: u16,
        /// Seconds in `retry-after`; `None` sends no header and pauses for 60 s.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The connection is closed without a response or effect.
    Drop,
    /// The request takes effect, then the connection is closed without a response.
    EffectThenDrop,
    /// The connection is closed without a response; the effect happens later, on the twin's clock.
    LateEffect {
        /// Milliseconds.
        ms: u64,
    },
    /// The request takes effect, then a server error is sent.
    EffectThenStatus {
        /// For example 502.
        status: u16,
    },
    /// This status with `retry-after` and without effect; all requests are refused until that time has passed.
    Unavailable {
        /// For example 503.
        status: u16,
        /// Seconds, or a date in any form of HTTP.
        retry_after: String,
    },
    /// The request takes effect, then the response body is changed by a JSON merge patch (RFC 7396).
    EffectThenPatch {
        /// The patch; null removes a field.
        patch: serde_json::Value,
    },
    /// This status with these headers and body, without effect.
    Answer {
        /// Any status, for example 301.
        status: u16,
        /// Headers in addition to the common ones.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// `None` sends an empty body.
        #[serde(default)]
        body: Option<serde_json::Value>,
    },
    /// A runner shifts between the pages of a listing: pages after the first start `by` items late.
    PageSlip {
        /// Number of items missed.
        by: usize,
        /// Whether `total_count` hides the loss.
        agree: bool,
    },
    /// The token of the request is expired: 401.
    TokenExpired,
}

impl FaultKind {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::SlowDrip { .. } => "slow_drip",
            Self::Status { .. } => "status",
            Self::PrimaryLimit { .. } => "primary_limit",
            Self::SecondaryLimit { .. } => "secondary_limit",
            Self::Drop => "drop",
            Self::EffectThenDrop => "effect_then_drop",
            Self::LateEffect { .. } => "late_effect",
            Self::EffectThenStatus { .. } => "effect_then_status",
            Self::Unavailable { .. } => "unavailable",
            Self::EffectThenPatch { .. } => "effect_then_patch",
            Self::Answer { .. } => "answer",
            Self::PageSlip { .. } => "page_slip",
            Self::TokenExpired => "token_expired",
        }
    }
}

/// A fault and its conditions. Without conditions it affects every request, without end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Affects only this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Affects only path templates that contain this text, such as `generate-jitconfig`.
    #[serde(default)]
    pub path: Option<String>,
    /// Lets this many matching requests pass first.
    #[serde(default)]
    pub skip: u32,
    /// Ends after this many affected requests.
    #[serde(default)]
    pub times: Option<u32>,
    /// Affects this percentage of the matching requests, evenly spread and always in the same order.
    #[serde(default)]
    pub percent: Option<u8>,
    /// Kind of the fault.
    #[serde(flatten)]
    pub kind: FaultKind,
}

impl Fault {
    /// Returns a fault of every request, until cleared.
    pub fn new(kind: FaultKind) -> Self {
        Self { method: None, path: None, skip: 0, times: None, percent: None, kind }
    }

    /// Returns a fault of the next request of this operation only.
    pub fn once(method: &str, path: &str, kind: FaultKind) -> Self {
        Self::new(kind).on(method, path).times(1)
    }

    /// Limits the fault to this method and to templates that contain `path`.
    #[must_use]
    pub fn on(mut self, method: &str, path: &str) -> Self {
        self.method = Some(method.to_owned());
        self.path = Some(path.to_owned());
        self
    }

    /// Ends the fault after `n` affected requests.
    #[must_use]
    pub fn times(mut self, n: u32) -> Self {
        self.times = Some(n);
        self
    }

    /// Lets `n` matching requests pass first.
    #[must_use]
    pub fn skip(mut self, n: u32) -> Self {
        self.skip = n;
        self
    }

    /// Affects `p` of 100 matching requests.
    #[must_use]
    pub fn percent(mut self, p: u8) -> Self {
        self.percent = Some(p);
        self
    }
}

/// An active fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActiveFault {
    /// Id for [`crate::Twin::clear_fault`].
    pub id: u64,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// Number of matching requests so far.
    pub matched: u32,
    /// Number of affected requests so far.
    pub struck: u32,
}

impl ActiveFault {
    fn strikes(&mut self, method: &str, template: &str) -> bool {
        let f = &self.fault;
        let right_method = f.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method));
        if !right_method || !f.path.as_deref().is_none_or(|p| template.contains(p)) || self.spent() {
            return false;
        }
        self.matched = self.matched.saturating_add(1);
        let Some(nth) = self.matched.checked_sub(f.skip).filter(|n| *n > 0) else { return false };
        let share = u64::from(f.percent.unwrap_or(100).min(100));
        let due = |n: u32| u64::from(n) * share / 100;
        let hit = due(nth) > due(nth - 1);
        self.struck += u32::from(hit);
        hit
    }

    fn spent(&self) -> bool {
        self.fault.times.is_some_and(|n| self.struck >= n)
    }
}

/// Faults of one request: any number of delays, and the first of the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picked {
    pub(crate) delay_ms: u64,
    pub(crate) drip: Option<(u64, usize)>,
    pub(crate) act: Option<FaultKind>,
}

impl Picked {
    pub(crate) fn word(&self) -> Option<&'static str> {
        let delay = (self.delay_ms > 0).then_some("latency").or(self.drip.map(|_| "slow_drip"));
        self.act.as_ref().map(FaultKind::word).or(delay)
    }
}

/// Active faults, at most 1,000.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    list: Vec<ActiveFault>,
    last_id: u64,
}

impl Faults {
    /// Adds a fault; returns `None` when there are too many already.
    pub(crate) fn add(&mut self, fault: Fault) -> Option<u64> {
        self.list.retain(|f| !f.spent());
        if self.list.len() >= 1000 {
            return None;
        }
        self.last_id += 1;
        self.list.push(ActiveFault { id: self.last_id, fault, matched: 0, struck: 0 });
        Some(self.last_id)
    }

    pub(crate) fn list(&self) -> Vec<ActiveFault> {
        self.list.iter().filter(|f| !f.spent()).cloned().collect()
    }

    pub(crate) fn clear(&mut self, id: Option<u64>) {
        self.list.retain(|f| id.is_some_and(|id| f.id != id));
    }

    pub(crate) fn pick(&mut self, method: &str, template: &str) -> Picked {
        let mut picked = Picked::default();
        for fault in &mut self.list {
            let delays = matches!(fault.fault.kind, FaultKind::Latency { .. } | FaultKind::SlowDrip { .. });
            // A fault behind another one keeps its count for later requests.
            if (!delays && picked.act.is_some()) || !fault.strikes(method, template) {
                continue;
            }
            match &fault.fault.kind {
                FaultKind::Latency { ms } => picked.delay_ms = picked.delay_ms.saturating_add(*ms),
                FaultKind::SlowDrip { ms, bytes } => picked.drip = Some((*ms, (*bytes).max(1))),
                other => picked.act = Some(other.clone()),
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(fault: Fault, n: usize) -> String {
        let mut faults = Faults::default();
        faults.add(fault);
        let hit = |f: &mut Faults| if f.pick("GET", "/a/{b}").act.is_some() { 'x' } else { '.' };
        (0..n).map(|_| hit(&mut faults)).collect()
    }

    #[test]
    fn faults_strike_on_the_chosen_calls() {
        let drop = || Fault::new(FaultKind::Drop);
        assert_eq!(hits(drop(), 3), "xxx");
        assert_eq!(hits(drop().times(2), 4), "xx..");
        assert_eq!(hits(drop().skip(1).times(1), 3), ".x.");
        assert_eq!(hits(drop().percent(50), 6), ".x.x.x");
        assert_eq!(hits(drop().on("POST", "a"), 2), "..");
        assert_eq!(hits(drop().on("get", "/{b}"), 2), "xx");
    }

    #[test]
    fn speaks_json() {
        let text = r#"{"method":"POST","path":"x","times":1,"kind":"late_effect","ms":5}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(fault, Fault::once("POST", "x", FaultKind::LateEffect { ms: 5 }));
    }
}
