//! Values of GitHub's response headers.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use http::{HeaderMap, header};

/// Longest wait that a header can cause.
const MAX_WAIT: Duration = Duration::from_hours(24);

/// State of one primary window, from response headers or `/rate_limit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateHeaders {
    /// Resource that the window counts: `core`, `actions_runner_registration`, …
    pub resource: String,
    /// Requests per window.
    pub limit: u64,
    /// Requests left.
    pub remaining: u64,
    /// Requests made.
    pub used: u64,
    /// End of the window by GitHub's clock.
    pub reset_at: DateTime<Utc>,
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// Returns the window if limit, remaining and reset are present.
pub(crate) fn rate(headers: &HeaderMap) -> Option<RateHeaders> {
    let limit = number(headers, "x-ratelimit-limit")?;
    let remaining = number(headers, "x-ratelimit-remaining")?;
    let reset = i64::try_from(number(headers, "x-ratelimit-reset")?).ok()?;
    Some(RateHeaders {
        resource: text(headers, "x-ratelimit-resource").unwrap_or("core").to_owned(),
        limit,
        remaining,
        used: number(headers, "x-ratelimit-used").unwrap_or(limit.saturating_sub(remaining)),
        reset_at: DateTime::from_timestamp(reset, 0)?,
    })
}

/// Returns `retry-after`, which is in seconds or a date (then relative to `now`).
pub(crate) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = text(headers, header::RETRY_AFTER.as_str())?;
    let all_digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let wait = if all_digits {
        // A number that does not fit exceeds the maximum as well.
        value.parse().map_or(MAX_WAIT, Duration::from_secs)
    } else {
        until(http_date(value)?, now)
    };
    Some(wait.min(MAX_WAIT))
}

/// Returns the server's time.
pub(crate) fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    http_date(text(headers, header::DATE.as_str())?)
}

/// Returns `x-github-request-id`, shortened.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    text(headers, "x-github-request-id").map(|id| id.chars().take(100).collect())
}

/// Returns the entity tag as sent.
pub(crate) fn etag(headers: &HeaderMap) -> Option<String> {
    text(headers, header::ETAG.as_str()).map(str::to_owned)
}

/// Returns a query parameter of the `next` link. No other part of a link is used.
pub(crate) fn next_param(headers: &HeaderMap, name: &str) -> Option<String> {
    let link = text(headers, header::LINK.as_str())?;
    let next = link
        .split(',')
        .find(|part| part.split(';').skip(1).any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next")))?;
    let target = next.split(';').next()?.trim().strip_prefix('<')?.strip_suffix('>')?;
    let (_, query) = target.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Returns the time from `now` to `then`; zero if that is past.
pub(crate) fn until(then: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (then - now).to_std().unwrap_or_default().min(MAX_WAIT)
}

/// Parses the three formats of RFC 9110: the current one, and the two obsolete ones that must still be accepted.
fn http_date(value: &str) -> Option<DateTime<Utc>> {
    let obsolete = || {
        let forms = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
        forms.iter().find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
    };
    DateTime::parse_from_rfc2822(value)
        .map(|date| date.to_utc())
        .ok()
        .or_else(|| obsolete().map(|date| date.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (http::HeaderName::from_static(k), v.parse().unwrap())).collect()
    }

    #[test]
    fn full_window_is_read() {
        let rate = rate(&headers(&[
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", "4987"),
            ("x-ratelimit-used", "13"),
            ("x-ratelimit-reset", "1800000000"),
            ("x-ratelimit-resource", "actions_runner_registration"),
        ]))
        .unwrap();
        assert_eq!((rate.limit, rate.remaining, rate.used), (5000, 4987, 13));
        assert_eq!(rate.resource, "actions_runner_registration");
        assert_eq!(rate.reset_at.timestamp(), 1_800_000_000);
    }

    #[test]
    fn server_without_limits_has_no_window() {
        assert_eq!(rate(&HeaderMap::new()), None);
        assert_eq!(rate(&headers(&[("x-ratelimit-limit", "5000")])), None);
        assert_eq!(rate(&headers(&[("x-ratelimit-limit", "-1"), ("x-ratelimit-remaining", "x")])), None);
    }

    #[test]
    fn missing_details_get_their_usual_values() {
        let rate = rate(&headers(&[
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "50"),
            ("x-ratelimit-reset", "1800000000"),
        ]))
        .unwrap();
        assert_eq!((rate.resource.as_str(), rate.used), ("core", 10));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = http_date("Sun, 22 Nov 2026 10:00:00 GMT").unwrap();
        let wait = |value| retry_after(&headers(&[("retry-after", value)]), now);
        assert_eq!(wait("60"), Some(Duration::from_mins(1)));
        assert_eq!(wait("Sun, 22 Nov 2026 10:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(wait("Sunday, 22-Nov-26 10:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(wait("Sun Nov 22 10:01:30 2026"), Some(Duration::from_secs(90)));
        assert_eq!(wait("Sun, 22 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999"), Some(MAX_WAIT));
        assert_eq!(wait("99999999999999999999999"), Some(MAX_WAIT));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-5"), None);
    }

    #[test]
    fn only_the_next_link_counts() {
        let link = "<https://api.github.com/x?page=1>; rel=\"prev\", \
                    <https://evil.example/y?per_page=100&page=3>; rel=\"next\", <https://h/x?page=9>; rel=\"last\"";
        assert_eq!(next_param(&headers(&[("link", link)]), "page").as_deref(), Some("3"));
        assert_eq!(next_param(&headers(&[("link", "<https://h/x?page=9>; rel=\"last\"")]), "page"), None);
        assert_eq!(next_param(&HeaderMap::new(), "page"), None);
    }
}
