//! Cookies of the dashboard. All have the prefix `__Host-`, so that no other host can set or read them.

use axum::http::{HeaderMap, HeaderValue, header};

/// Cookie of a session.
pub(super) const SESSION: &str = "__Host-rts";
/// Cookie that binds a sign-in to the browser that began it.
pub(super) const SIGN_IN: &str = "__Host-rts-sign-in";
/// Cookie of a browser that was sent to an issuer without a click a moment ago.
pub(super) const TRIED: &str = "__Host-rts-tried";
/// Cookie with the sentence that the next page shows.
pub(super) const NOTICE: &str = "__Host-rts-notice";

/// Cookie of a browser whose pages show no live data.
pub(super) const PAUSED: &str = "__Host-rts-paused";

/// Longest value that is read, in bytes.
const MAX_VALUE: usize = 1024;

/// Returns the value of a cookie; `None` if it is missing, too long or sent twice.
pub(super) fn read<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    (value.len() <= MAX_VALUE).then_some(value)
}

/// Returns the `Set-Cookie` of a value without special characters. Without seconds it lives as long as the browser.
pub(super) fn set(name: &str, value: &str, seconds: Option<u64>) -> HeaderValue {
    let max_age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let line = format!("{name}={value}{max_age}; Path=/; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&line).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Returns the `Set-Cookie` that removes a cookie.
pub(super) fn clear(name: &str) -> HeaderValue {
    set(name, "", Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(lines: &[&'static str]) -> Option<String> {
        let lines = lines.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line)));
        read(&lines.collect(), SESSION).map(str::to_owned)
    }

    #[test]
    fn cookie_is_read_only_if_it_is_sent_once() {
        assert_eq!(read_from(&["a=1; __Host-rts=x-y; b=2"]).as_deref(), Some("x-y"));
        assert_eq!(read_from(&["a=1", "__Host-rts=x"]).as_deref(), Some("x"));
        assert_eq!(read_from(&["__Host-rts=x; __Host-rts=y"]), None);
        assert_eq!(read_from(&["__Host-rts-sign-in=x; rts=y"]), None);
    }

    #[test]
    fn cookies_belong_to_this_host_alone() {
        let line = set(SESSION, "x", None);
        assert_eq!(line, "__Host-rts=x; Path=/; Secure; HttpOnly; SameSite=Lax");
        assert_eq!(clear(SESSION), "__Host-rts=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax");
    }
}
