//! Request headers `Prefer` and `Idempotency-Key`.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, request::Parts},
    response::Response,
};
use domain::Problem;

use crate::{app::AppState, error::ApiError};

/// Longest time a request waits for its job.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(25);

/// Wait that the caller prefers (RFC 7240: `wait=N`, `respond-async`). Unknown preferences are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// Time to wait.
    pub(crate) wait: Duration,
    /// Whether the caller sent `wait`, which `Preference-Applied` then confirms.
    pub(crate) explicit: bool,
    /// Whether the caller sent `respond-async`.
    asynchronous: bool,
}

impl Prefer {
    /// No wait, as if the caller had sent `respond-async`.
    pub(crate) const NO_WAIT: Self = Self { wait: Duration::ZERO, explicit: false, asynchronous: true };

    /// Returns the longest wait unless the caller sent a preference.
    pub(crate) fn or_longest_wait(self) -> Self {
        if self.explicit || self.asynchronous { self } else { Self { wait: MAX_WAIT, ..self } }
    }

    /// Adds `Preference-Applied` if the caller sent `wait`.
    pub(crate) fn confirm(self, mut response: Response) -> Response {
        if self.explicit
            && let Ok(applied) = format!("wait={}", self.wait.as_secs()).parse()
        {
            response.headers_mut().insert(HeaderName::from_static("preference-applied"), applied);
        }
        response
    }
}

impl FromRequestParts<AppState> for Prefer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let lines = parts.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        Ok(parse_preferences(lines, app.server.default_wait))
    }
}

/// Parses preferences (RFC 7240). Unknown and unreadable ones are ignored, the first readable `wait` counts, and a
/// longer wait is cut to [`MAX_WAIT`]. `respond-async` alone means no wait; with `wait` it means 202 after the wait.
fn parse_preferences<'t>(lines: impl Iterator<Item = &'t str>, default: Duration) -> Prefer {
    let mut wait = None;
    let mut asynchronous = false;
    for preference in lines.flat_map(preferences) {
        let (name, value) =
            preference.split_once('=').map_or((preference, ""), |(name, value)| (name, value));
        match name.trim().to_ascii_lowercase().as_str() {
            "respond-async" => asynchronous = true,
            "wait" => wait = wait.or_else(|| delta_seconds(value.trim())),
            _ => {}
        }
    }
    let explicit = wait.is_some();
    let implied = if asynchronous { Duration::ZERO } else { default };
    Prefer { wait: wait.unwrap_or(implied), explicit, asynchronous }
}

/// Returns the preferences of one line without their parameters. Commas and semicolons in quotes separate nothing.
fn preferences(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let outside = move |c: char, separator: char| {
        if escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        }
        c == separator && !quoted
    };
    let mut comma = outside;
    line.split(move |c| comma(c, ',')).map(move |preference| {
        let mut semicolon = outside;
        preference.split(move |c| semicolon(c, ';')).next().unwrap_or_default().trim()
    })
}

/// Parses whole seconds, optionally in quotes, and cuts them to [`MAX_WAIT`].
fn delta_seconds(text: &str) -> Option<Duration> {
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Only digits that do not fit into `u64` fail here: a wait beyond the longest.
    Some(digits.parse().map_or(MAX_WAIT, Duration::from_secs).min(MAX_WAIT))
}

/// Parses a wait of 0 to 25 seconds.
pub(crate) fn parse_wait(pointer: &str, text: &str) -> Result<Duration, Problem> {
    text.parse()
        .ok()
        .map(Duration::from_secs)
        .filter(|wait| *wait <= MAX_WAIT)
        .ok_or_else(|| Problem::field(pointer, "wait is a whole number of seconds, 0 to 25"))
}

/// `Idempotency-Key`: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl FromRequestParts<AppState> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default();
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits && values.next().is_none() {
            Ok(Self(Some(text.to_owned())))
        } else {
            Err(Problem::field(
                "header:Idempotency-Key",
                "send it once, with 1 to 255 visible ASCII characters",
            )
            .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_readable_wait_counts_and_is_cut() {
        let default = Duration::from_secs(3);
        let secs = |line: &str| parse_preferences(std::iter::once(line), default).wait.as_secs();
        for (line, expected) in [
            ("", 3),
            ("wait=10, wait=5", 10),
            ("handling=lenient; x, WAIT=\"7\"", 7),
            ("wait = 7", 7),
            ("wait=7; until=\"later, wait=9\"", 7),
            ("note=\"a, wait=9\"", 3),
            ("note=\"a\\\", wait=9\", wait=4", 4),
            ("wait=26", 25),
            ("wait=600", 25),
            ("wait=99999999999999999999999", 25),
            ("wait=-1", 3),
            ("wait=x", 3),
            ("wait=1.5", 3),
            ("wait=1e9", 3),
            ("wait=\"\"", 3),
            ("wait", 3),
            ("wait=x, wait=5", 5),
            (",,;=, wait=5", 5),
        ] {
            assert_eq!(secs(line), expected, "{line}");
        }
    }

    #[test]
    fn respond_async_waits_only_with_an_explicit_wait() {
        let default = Duration::from_secs(3);
        let of = |line: &str| parse_preferences(std::iter::once(line), default);
        assert_eq!((of("respond-async").wait, of("respond-async").explicit), (Duration::ZERO, false));
        assert_eq!(of("respond-async").or_longest_wait().wait, Duration::ZERO);
        for line in ["respond-async, wait=5", "wait=5, respond-async", "Respond-Async;x=y, wait=5"] {
            assert_eq!((of(line).wait.as_secs(), of(line).explicit), (5, true), "{line}");
        }
        assert_eq!(of("respond-async, wait=x").wait, Duration::ZERO);
        let lines = ["respond-async", "wait=5"];
        assert_eq!(parse_preferences(lines.into_iter(), default).wait.as_secs(), 5);
    }
}
