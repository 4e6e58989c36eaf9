//! Paths and query strings, percent-encoded.

use std::fmt::Write as _;

/// Error: a text that cannot be a path segment, because it is empty or all dots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSegment;

/// Returns one segment of a path. Dots alone are refused, because servers read them as "up", encoded or not.
pub(crate) fn segment(text: &str) -> Result<String, NoSegment> {
    if text.chars().all(|c| c == '.') { Err(NoSegment) } else { Ok(encode(text)) }
}

/// Replaces all bytes but RFC 3986's unreserved characters by `%XX`.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(segment("a/b?c#d e%ü").unwrap(), "a%2Fb%3Fc%23d%20e%25%C3%BC");
        assert_eq!(segment("my.repo_1-x~").unwrap(), "my.repo_1-x~");
        for bad in ["", ".", ".."] {
            assert_eq!(segment(bad), Err(NoSegment));
        }
    }
}
