//! `Prefer` and `Idempotency-Key`.

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

/// How long a request is to wait for its job (RFC 7240: `wait=N`, `respond-async`); values it does not know are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// How long.
    pub(crate) wait: Duration,
    /// Whether the caller said so, to be confirmed by `Preference-Applied`.
    pub(crate) said: bool,
    /// Whether the caller wants no waiting.
    asynchronous: bool,
}

impl Prefer {
    /// The longest wait, unless the caller said something else.
    pub(crate) fn or_longest(self) -> Self {
        if self.said || self.asynchronous { self } else { Self { wait: MAX_WAIT, ..self } }
    }

    /// Says in an answer that the wish to wait was granted, if there was one.
    pub(crate) fn confirm(self, mut response: Response) -> Response {
        if self.said
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
        Ok(read(lines, app.server.default_wait))
    }
}

/// Reads the preferences (RFC 7240). What is unknown or unreadable is ignored, the first readable wait counts, and a wait
/// that is too long is cut. `respond-async` alone wants no waiting; with a wait it wants 202 after that.
fn read<'t>(lines: impl Iterator<Item = &'t str>, default: Duration) -> Prefer {
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
    let said = wait.is_some();
    let unsaid = if asynchronous { Duration::ZERO } else { default };
    Prefer { wait: wait.unwrap_or(unsaid), said, asynchronous }
}

/// The preferences of one line without their parameters; commas and semicolons in quotes separate nothing.
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

/// Whole seconds, perhaps in quotes, cut to [`MAX_WAIT`].
fn delta_seconds(text: &str) -> Option<Duration> {
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // More digits than a number has room for are more seconds than anybody waits.
    Some(digits.parse().map_or(MAX_WAIT, Duration::from_secs).min(MAX_WAIT))
}

/// Reads 0 to 25 seconds.
pub(crate) fn seconds_to_wait(pointer: &str, text: &str) -> Result<Duration, Problem> {
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
            Err(Problem::field("header:Idempotency-Key", "once, 1 to 255 visible ASCII characters").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_readable_wait_counts_and_is_cut() {
        let default = Duration::from_secs(3);
        let secs = |line: &str| read(std::iter::once(line), default).wait.as_secs();
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
    fn respond_async_waits_only_where_a_wait_is_said() {
        let default = Duration::from_secs(3);
        let of = |line: &str| read(std::iter::once(line), default);
        assert_eq!((of("respond-async").wait, of("respond-async").said), (Duration::ZERO, false));
        assert_eq!(of("respond-async").or_longest().wait, Duration::ZERO);
        for line in ["respond-async, wait=5", "wait=5, respond-async", "Respond-Async;x=y, wait=5"] {
            assert_eq!((of(line).wait.as_secs(), of(line).said), (5, true), "{line}");
        }
        assert_eq!(of("respond-async, wait=x").wait, Duration::ZERO);
        let lines = ["respond-async", "wait=5"];
        assert_eq!(read(lines.into_iter(), default).wait.as_secs(), 5);
    }
}
