//! Sanitised JSON documents from outside, for PostgreSQL and JSON parsers.
//!
//! PostgreSQL stores no U+0000. One unpaired surrogate or invalid byte makes a parser refuse a whole document. Every
//! GitHub response and webhook body is sanitised here, so that later code need not consider these cases.

use std::borrow::Cow;

/// The escape of U+FFFD, with the same length as the escapes it replaces.
const REPLACEMENT: &[u8; 6] = b"\\ufffd";

/// Returns the document with U+0000, unpaired surrogates and invalid UTF-8 replaced by U+FFFD. The result is borrowed
/// if nothing was replaced.
pub fn clean_json(document: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(document);
    // All text that must be replaced, escaped or not, begins with one of these.
    if !text.contains("\\u0000") && !text.contains("\\ud") && !text.contains("\\uD") {
        return text;
    }
    let mut bytes = text.into_owned().into_bytes();
    let mut at = 0;
    while at < bytes.len() {
        at += if bytes[at] == b'\\' { clean_escape(&mut bytes, at) } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Replaces the escape at `at` if necessary. Returns its length in bytes; a surrogate pair counts as one escape.
fn clean_escape(bytes: &mut [u8], at: usize) -> usize {
    let Some(unit) = code_unit(bytes, at) else { return 2 };
    let pair = (0xd800..0xdc00).contains(&unit)
        && code_unit(bytes, at + 6).is_some_and(|next| (0xdc00..0xe000).contains(&next));
    if pair {
        return 12;
    }
    if unit == 0 || (0xd800..0xe000).contains(&unit) {
        bytes[at..at + 6].copy_from_slice(REPLACEMENT);
    }
    6
}

/// Returns the UTF-16 code unit of the `\uXXXX` escape at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u").and_then(|digits| std::str::from_utf8(digits).ok())?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(document: &str) -> serde_json::Value {
        serde_json::from_str(&clean_json(document.as_bytes())).unwrap()
    }

    #[test]
    fn text_that_no_database_or_parser_takes_is_replaced() {
        assert_eq!(cleaned(r#""a\u0000b""#), "a\u{fffd}b");
        assert_eq!(cleaned(r#"{"\u0000":"\ud800"}"#)["\u{fffd}"], "\u{fffd}");
        assert_eq!(cleaned(r#""\udc00\uD800\uDBFF\ud83d""#), "\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        let bytes = [b"\"a".as_slice(), &[0xff, 0xc3], b"\""].concat();
        assert_eq!(serde_json::from_str::<String>(&clean_json(&bytes)).unwrap(), "a\u{fffd}\u{fffd}");
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for document in [
            r#"{"a":"plain","b":[1,2.5,null],"c":"\u00e9\n\"\\"}"#,
            r#""\\u0000 is a backslash and digits, \\\\ud800 too""#,
            r#""a pair: \ud83d\ude00 and \uD83D\uDE00""#,
            r#""ends \u00""#,
        ] {
            assert_eq!(clean_json(document.as_bytes()), document);
        }
        assert!(matches!(clean_json(br#"{"a":1}"#), Cow::Borrowed(_)));
    }
}
