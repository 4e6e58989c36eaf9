//! Classification of responses: rate limits, refusals and errors.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    call::{Call, Reply},
    error::{GitHubError, LimitKind},
    headers, redirect,
};

/// Wait that GitHub documents for a limit without a duration.
const DEFAULT_WAIT: Duration = Duration::from_mins(1);
/// Shortest wait, so that a window that has just ended can start again.
const MIN_WAIT: Duration = Duration::from_secs(1);
/// Longest message; the rest is cut.
const MAX_MESSAGE_CHARS: usize = 500;

/// Returns the limit that a response reports and the time to send no request. For 403 and 429 in GitHub's order:
/// `retry-after`, then an empty window, then a minute. On every other status `retry-after` counts as well.
///
/// Times are relative to the response's own `Date`; `now` replaces a missing one.
pub(crate) fn limit(reply: &Reply, now: DateTime<Utc>) -> Option<(LimitKind, Duration)> {
    let now = headers::date(&reply.headers).unwrap_or(now);
    if !matches!(reply.status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) {
        let wait = headers::retry_after(&reply.headers, now).filter(|wait| !wait.is_zero())?;
        return Some((LimitKind::Outage, wait));
    }
    let message = message(reply).to_lowercase();
    let names_secondary = message.contains("secondary rate limit") || message.contains("abuse detection");
    let empty = headers::rate(&reply.headers).filter(|rate| rate.remaining == 0);
    let kind = if empty.is_some() && !names_secondary { LimitKind::Primary } else { LimitKind::Secondary };
    if let Some(wait) = headers::retry_after(&reply.headers, now) {
        return Some((kind, wait.max(MIN_WAIT)));
    }
    if let Some(rate) = empty {
        return Some((kind, headers::until(rate.reset_at, now).max(MIN_WAIT)));
    }
    let limited = reply.status == StatusCode::TOO_MANY_REQUESTS
        || names_secondary
        || message.contains("rate limit exceeded")
        || message.contains("temporarily blocked from content creation");
    limited.then_some((if names_secondary { LimitKind::Secondary } else { kind }, DEFAULT_WAIT))
}

/// Returns successful responses (2xx, 304) and turns all others into errors.
pub(crate) fn check(call: &Call, reply: Reply, now: DateTime<Utc>) -> Result<Reply, GitHubError> {
    let status = reply.status;
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(reply);
    }
    let limit = limit(&reply, now);
    if let Some((kind @ (LimitKind::Primary | LimitKind::Secondary), wait)) = limit {
        return Err(GitHubError::Limited { kind, wait, request_id: reply.request_id() });
    }
    let message = message(&reply);
    let request_id = reply.request_id();
    Err(match status {
        StatusCode::UNAUTHORIZED => GitHubError::Unauthorized { message, request_id },
        StatusCode::FORBIDDEN if is_suspended(&reply) => GitHubError::Suspended { message, request_id },
        StatusCode::CONFLICT => GitHubError::Conflict {
            already_exists: message.starts_with("Already exists"),
            message,
            request_id,
        },
        _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => GitHubError::Unclear {
            reason: format!("status {}: {message}", status.as_u16()),
            status: Some(status.as_u16()),
            read_only: call.read_only(),
            wait: limit.map(|(_, wait)| wait),
            request_id,
        },
        _ => GitHubError::Refused {
            status: status.as_u16(),
            message: if status.is_redirection() { redirect::refusal(call, &reply) } else { message },
            request_id,
            permanent: !matches!(status.as_u16(), 421 | 423 | 425),
        },
    })
}

/// Whether the response is a 401, or a 403 that is neither a limit nor a suspension. GitHub gives it to a token that
/// not all of its servers know yet.
pub(crate) fn is_token_refusal(reply: &Reply, now: DateTime<Utc>) -> bool {
    match reply.status {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => limit(reply, now).is_none() && !is_suspended(reply),
        _ => false,
    }
}

/// Whether GitHub refuses because it has suspended the installation.
pub(crate) fn is_suspended(reply: &Reply) -> bool {
    reply.status == StatusCode::FORBIDDEN && message(reply).to_lowercase().contains("suspended")
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

/// Returns GitHub's message in one line, shortened. Pages of a proxy are not repeated.
pub(crate) fn message(reply: &Reply) -> String {
    let Ok(body) = serde_json::from_str::<ErrorBody>(&domain::clean_json(&reply.body)) else {
        return "no message from GitHub".to_owned();
    };
    let clean = body.message.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(MAX_MESSAGE_CHARS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::error::RetryAdvice;

    fn reply(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Reply {
        let headers: HeaderMap =
            headers.iter().map(|(k, v)| (http::HeaderName::from_static(k), v.parse().unwrap())).collect();
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
    }

    fn error(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> GitHubError {
        let call = Call::post("op", "/x".into());
        check(&call, reply(status, headers, body), DateTime::UNIX_EPOCH).err().unwrap()
    }

    const EMPTY: [(&str, &str); 4] = [
        ("x-ratelimit-limit", "5000"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1795341690"),
        ("date", "Sun, 22 Nov 2026 10:00:00 GMT"),
    ];

    #[test]
    fn retry_after_comes_first() {
        let mut headers = EMPTY.to_vec();
        headers.push(("retry-after", "7"));
        assert_eq!(error(403, &headers, "{}").retry_advice(), RetryAdvice::Wait(Duration::from_secs(7)));
        let secondary = r#"{"message":"You have exceeded a secondary rate limit. Please wait"}"#;
        let found = error(429, &[("retry-after", "60")], secondary);
        assert!(matches!(found, GitHubError::Limited { kind: LimitKind::Secondary, .. }));
    }

    #[test]
    fn empty_window_waits_for_its_reset_by_the_servers_clock() {
        let found = error(403, &EMPTY, r#"{"message":"API rate limit exceeded for installation ID 1."}"#);
        let GitHubError::Limited { kind, wait, .. } = found else { panic!("{found:?}") };
        let date = headers::date(&reply(200, &EMPTY, "").headers).unwrap();
        let expected = u64::try_from(1_795_341_690 - date.timestamp()).unwrap();
        assert_eq!((kind, wait.as_secs()), (LimitKind::Primary, expected));
    }

    #[test]
    fn retry_after_counts_on_every_status() {
        for status in [200, 204, 301, 401, 404, 409, 422, 500, 502, 503, 504] {
            let found = limit(&reply(status, &[("retry-after", "15")], "{}"), DateTime::UNIX_EPOCH);
            assert_eq!(found, Some((LimitKind::Outage, Duration::from_secs(15))), "{status}");
            assert_eq!(limit(&reply(status, &[], "{}"), DateTime::UNIX_EPOCH), None);
        }
        // Relative to the response's own clock, even if ours is wrong.
        let date =
            [("date", "Sun, 22 Nov 2026 10:00:00 GMT"), ("retry-after", "Sun, 22 Nov 2026 10:00:20 GMT")];
        let found = error(503, &date, "");
        assert_eq!(found.requested_wait(), Some(Duration::from_secs(20)));
        assert_eq!(
            found.retry_advice(),
            RetryAdvice::Unclear,
            "a response with a wait may still have had its effect"
        );
    }

    #[test]
    fn limit_without_headers_waits_a_minute() {
        for (status, body) in [
            (429, "busy"),
            (403, r#"{"message":"You have exceeded a secondary rate limit"}"#),
            (403, r#"{"message":"... and have been temporarily blocked from content creation."}"#),
        ] {
            let found = error(status, &[("x-ratelimit-remaining", "4000")], body);
            assert!(
                matches!(found, GitHubError::Limited { kind: LimitKind::Secondary, wait, .. } if wait == DEFAULT_WAIT)
            );
        }
    }

    #[test]
    fn forbidden_response_without_a_limit_needs_the_operator() {
        let found = error(403, &[], r#"{"message":"Resource not accessible by integration"}"#);
        assert!(matches!(found, GitHubError::Refused { status: 403, permanent: true, .. }));
        assert_eq!(found.retry_advice(), RetryAdvice::NeedsOperator);
        let found = error(403, &[], r#"{"message":"This installation has been suspended"}"#);
        assert!(matches!(found, GitHubError::Suspended { .. }));
    }

    #[test]
    fn each_status_has_its_retry_advice() {
        for (status, body, verdict) in [
            (301, "", RetryAdvice::NeedsOperator),
            (400, "{}", RetryAdvice::Permanent),
            (401, r#"{"message":"Bad credentials"}"#, RetryAdvice::NeedsOperator),
            (404, r#"{"message":"Not Found"}"#, RetryAdvice::NeedsOperator),
            (408, "", RetryAdvice::Unclear),
            (409, r#"{"message":"x"}"#, RetryAdvice::Permanent),
            (410, "{}", RetryAdvice::NeedsOperator),
            (422, r#"{"message":"Validation Failed"}"#, RetryAdvice::Permanent),
            (423, "{}", RetryAdvice::Retry),
            (500, "", RetryAdvice::Unclear),
            (502, "<html>", RetryAdvice::Unclear),
        ] {
            assert_eq!(error(status, &[], body).retry_advice(), verdict, "{status}");
        }
    }

    #[test]
    fn only_githubs_own_404_means_gone() {
        assert!(error(404, &[], r#"{"message":"Not Found","documentation_url":"x"}"#).is_not_found());
        assert!(!error(404, &[], "<html>Not Found</html>").is_not_found());
        assert!(!error(404, &[], r#"{"message":"Not Found here"}"#).is_not_found());
    }

    #[test]
    fn messages_are_one_short_line() {
        let long: &'static str =
            Box::leak(format!(r#"{{"message":"a\nb{}"}}"#, "x".repeat(9000)).into_boxed_str());
        let text = message(&reply(422, &[], long));
        assert!(text.starts_with("a b") && text.chars().count() == MAX_MESSAGE_CHARS);
    }
}
