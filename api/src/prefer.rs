//! `Prefer` and `Idempotency-Key`.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, request::Parts},
    response::Response,
};
use domain::Problem;

use crate::{app::App, error::ApiError};

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

impl FromRequestParts<App> for Prefer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let lines = parts.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        Ok(read(lines, app.server.default_wait)?)
    }
}

fn read<'t>(lines: impl Iterator<Item = &'t str>, default: Duration) -> Result<Prefer, Problem> {
    let mut prefer = Prefer { wait: default, said: false, asynchronous: false };
    for item in lines.flat_map(|line| line.split(',')) {
        let item = item.split(';').next().unwrap_or_default().trim();
        let (name, value) =
            item.split_once('=').map_or((item, None), |(name, value)| (name.trim(), Some(value)));
        match (name.to_ascii_lowercase().as_str(), value) {
            ("respond-async", _) => {
                return Ok(Prefer { wait: Duration::ZERO, said: false, asynchronous: true });
            }
            ("wait", Some(seconds)) if !prefer.said => {
                prefer = Prefer {
                    wait: seconds_to_wait("header:Prefer", seconds.trim().trim_matches('"'))?,
                    said: true,
                    asynchronous: false,
                };
            }
            _ => {}
        }
    }
    Ok(prefer)
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

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
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
    fn the_first_wait_counts_and_respond_async_wins() {
        let default = Duration::from_secs(3);
        let secs = |line: &str| read(std::iter::once(line), default).map(|prefer| prefer.wait.as_secs());
        assert_eq!(secs(""), Ok(3));
        assert_eq!(secs("wait=10, wait=5"), Ok(10));
        assert_eq!(secs("handling=lenient; x, WAIT=\"7\""), Ok(7));
        assert_eq!(secs("wait=10, respond-async"), Ok(0));
        for bad in ["wait=26", "wait=-1", "wait=x"] {
            assert!(secs(bad).is_err(), "{bad}");
        }
    }
}
