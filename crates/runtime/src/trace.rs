//! W3C trace context (<https://www.w3.org/TR/trace-context/>): one id for an HTTP request, its job and the job's GitHub
//! calls.

use std::{fmt, str::FromStr};

/// Name of the header, for HTTP and for the job's row.
pub const HEADER: &str = "traceparent";

/// One span of a trace: trace id, span id and whether it is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// A text that is not a valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a traceparent is version-traceid-spanid-flags in lower-case hex, ids not all zero")]
pub struct BadTraceparent;

impl TraceContext {
    /// Returns a new sampled trace with random ids.
    pub fn generate() -> Self {
        Self { trace: rand::random::<u128>().max(1), span: span_id(), sampled: true }
    }

    /// Returns the context in a header, or a new trace if the header is missing or malformed. A malformed header never
    /// fails a request.
    pub fn from_header(header: Option<&str>) -> Self {
        header.and_then(|text| text.parse().ok()).unwrap_or_else(Self::generate)
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

    /// Returns whether the caller asked to record this trace.
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
            assert_ne!(TraceContext::from_header(Some(bad)), TraceContext::from_header(None));
        }
    }
}
