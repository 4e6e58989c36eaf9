//! W3C trace context (<https://www.w3.org/TR/trace-context/>): one id for an HTTP request, its job and the job's GitHub
//! calls.

use std::{fmt, str::FromStr, sync::OnceLock};

/// Name of the header, for HTTP and for the job's row.
pub const HEADER: &str = "traceparent";

/// One span of a trace: trace id, span id and whether it is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// Choice of the traces that are exported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Part of the traces, from 0 to 1.
    ratio: f64,
    /// Whether the caller's choice comes first.
    parent: bool,
}

/// Sampler of the process; without one every trace is marked as sampled.
static SAMPLER: OnceLock<Sampler> = OnceLock::new();

/// Sets the sampler of the process. Only the first call counts.
pub(crate) fn set_sampler(sampler: Sampler) {
    let _ = SAMPLER.set(sampler);
}

impl Sampler {
    /// Returns the sampler with a name of OpenTelemetry; `None` for an unknown name.
    pub fn parse(name: &str, ratio: f64) -> Option<Self> {
        let (ratio, parent) = match name {
            "always_on" => (1.0, false),
            "always_off" => (0.0, false),
            "traceidratio" => (ratio, false),
            "parentbased_always_on" => (1.0, true),
            "parentbased_always_off" => (0.0, true),
            "parentbased_traceidratio" => (ratio, true),
            _ => return None,
        };
        Some(Self { ratio, parent })
    }

    /// Returns whether nothing is exported, not even failures.
    pub(crate) fn exports_nothing(self) -> bool {
        self.ratio <= 0.0 && !self.parent
    }

    /// Returns whether a trace is exported. `parent` is the caller's choice, if there is a caller.
    fn chooses(self, trace: u128, parent: Option<bool>) -> bool {
        match parent {
            Some(parent) if self.parent => parent,
            _ => self.holds(trace),
        }
    }

    /// Returns whether the ratio holds a trace: by the last 56 bits of its id, as other programs do.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of ids needs no exact bits")]
    fn holds(self, trace: u128) -> bool {
        const IDS: u128 = 1 << 56;
        self.ratio >= 1.0 || ((trace % IDS) as f64) < self.ratio * IDS as f64
    }
}

/// A text that is not a valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a traceparent is version-traceid-spanid-flags in lower-case hex, ids not all zero")]
pub struct BadTraceparent;

impl TraceContext {
    /// Returns a new trace with random ids. It is sampled by the process's sampler, and without one always.
    pub fn generate() -> Self {
        let trace = rand::random::<u128>().max(1);
        let sampled = SAMPLER.get().is_none_or(|sampler| sampler.chooses(trace, None));
        Self { trace, span: span_id(), sampled }
    }

    /// Returns the context that a caller gave, with this process's choice, or a new trace. A header that is malformed
    /// counts as missing: it never fails a request.
    pub fn received(given: Option<Self>) -> Self {
        let Some(given) = given else { return Self::generate() };
        let chosen = SAMPLER.get().map(|sampler| sampler.chooses(given.trace, Some(given.sampled)));
        Self { sampled: chosen.unwrap_or(given.sampled), ..given }
    }

    /// Returns the next span of the trace: a new span id, all else kept.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: span_id(), ..self }
    }

    /// Returns the trace id, 32 hex digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Returns the span id, 16 hex digits.
    pub fn span_id(self) -> String {
        format!("{:016x}", self.span)
    }

    /// Returns the bytes of the trace id.
    pub(crate) const fn trace_bytes(self) -> [u8; 16] {
        self.trace.to_be_bytes()
    }

    /// Returns the bytes of the span id.
    pub(crate) const fn span_bytes(self) -> [u8; 8] {
        self.span.to_be_bytes()
    }

    /// Returns whether this trace is exported.
    pub const fn sampled(self) -> bool {
        self.sampled
    }
}

fn span_id() -> u64 {
    rand::random::<u64>().max(1)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = BadTraceparent;

    /// Parses a header. Version 00 has exactly four fields; later versions may append fields, which are ignored.
    /// Version ff is invalid.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() < 55 || text.len() > 512 || !text.is_ascii() {
            return Err(BadTraceparent);
        }
        let (head, rest) = text.split_at(55);
        let fields: Vec<&str> = head.split('-').collect();
        let [version, trace, span, flags] = fields.as_slice() else { return Err(BadTraceparent) };
        let version = hex(version, 2)?;
        let tail_fits = rest.is_empty() || (version > 0 && rest.starts_with('-'));
        let trace = hex(trace, 32)?;
        let span = u64::try_from(hex(span, 16)?).map_err(|_| BadTraceparent)?;
        let flags = hex(flags, 2)?;
        if version == 0xff || !tail_fits || trace == 0 || span == 0 {
            return Err(BadTraceparent);
        }
        Ok(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

fn hex(text: &str, digits: usize) -> Result<u128, BadTraceparent> {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() != digits || !text.bytes().all(lower) {
        return Err(BadTraceparent);
    }
    u128::from_str_radix(text, 16).map_err(|_| BadTraceparent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn parses_and_prints_the_same() {
        let context: TraceContext = GOOD.parse().unwrap();
        assert_eq!(context.to_string(), GOOD);
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert!(context.sampled());
    }

    #[test]
    fn child_keeps_the_trace_and_changes_the_span() {
        let parent: TraceContext = GOOD.parse().unwrap();
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child.span_id(), parent.span_id());
        assert_eq!(child.to_string().parse(), Ok(child));
    }

    #[test]
    fn samplers_choose_by_parent_or_by_ratio() {
        let sampler = |name: &str, ratio| Sampler::parse(name, ratio).unwrap();
        let by_parent = sampler("parentbased_traceidratio", 0.5);
        assert!(by_parent.chooses(u128::MAX, Some(true)) && !by_parent.chooses(0, Some(false)));
        assert!(by_parent.chooses(1, None) && !by_parent.chooses((1 << 56) - 1, None));
        let by_ratio = sampler("traceidratio", 0.01);
        assert!(!by_ratio.chooses(u128::MAX, Some(true)));
        let chosen = (0..10_000_u128).filter(|n| by_ratio.chooses(n << 43, None)).count();
        assert!((50..=200).contains(&chosen), "about 1 %: {chosen}");
        assert!(sampler("always_on", 0.0).chooses(u128::MAX, Some(false)));
        assert!(sampler("always_off", 1.0).exports_nothing());
        assert!(!sampler("parentbased_always_off", 1.0).exports_nothing());
        assert_eq!(Sampler::parse("xray", 1.0), None);
    }

    #[test]
    fn later_versions_may_be_longer() {
        assert!(format!("01{}-more", &GOOD[2..]).parse::<TraceContext>().is_ok());
        assert!(format!("{GOOD}-more").parse::<TraceContext>().is_err());
    }

    #[test]
    fn malformed_headers_start_a_new_trace() {
        let zero_trace = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let zero_span = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        let upper = GOOD.to_uppercase();
        let ff = format!("ff{}", &GOOD[2..]);
        let signed = GOOD.replace("b7ad", "+7ad");
        let wide = "é".repeat(40);
        for bad in ["", "00-", zero_trace, zero_span, &upper, &ff, &signed, &wide, &"0".repeat(55)] {
            assert_eq!(bad.parse::<TraceContext>(), Err(BadTraceparent), "{bad}");
            assert_ne!(TraceContext::received(bad.parse().ok()), TraceContext::received(None));
        }
    }
}
