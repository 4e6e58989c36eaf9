//! Errors of GitHub calls, with the advice whether to retry.

use std::time::Duration;

use crate::{key_error::KeyError, path::NoSegment};

/// Kind of limit that GitHub reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// The hourly window of requests.
    Primary,
    /// The limits on bursts, whose state cannot be queried.
    Secondary,
    /// Not a rate limit: `Retry-After` on a response with another status.
    Outage,
}

/// Advice for the caller of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAdvice {
    /// Nothing happened on GitHub: retry with growing intervals.
    Retry,
    /// Make no call with this credential before this time has passed.
    Wait(Duration),
    /// It may have happened: check the state before a retry.
    Unclear,
    /// This call will never succeed.
    Permanent,
    /// No call will succeed until an operator changes something: alert, do not retry.
    NeedsOperator,
}

/// Failure of a call.
///
/// Messages are GitHub's own, shortened; they never contain tokens or bodies.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitHubError {
    /// The request was not sent: name lookup, connection or TLS failed, or no token was available.
    #[error("the request was not sent: {reason}")]
    NotSent {
        /// What failed.
        reason: String,
    },
    /// The response was lost, or GitHub responded with 408 or 5xx: the effect may stand.
    #[error("the result on GitHub is unknown: {reason}")]
    Unclear {
        /// Cause.
        reason: String,
        /// Status of the response, if one came.
        status: Option<u16>,
        /// The call only reads, so that no effect can stand.
        read_only: bool,
        /// `Retry-After` of the response.
        wait: Option<Duration>,
        /// `x-github-request-id`, if a response came.
        request_id: Option<String>,
    },
    /// 403 or 429 because of one of GitHub's limits.
    #[error("GitHub's {kind:?} rate limit: wait {} s", wait.as_secs())]
    Limited {
        /// The limit.
        kind: LimitKind,
        /// Time to make no call.
        wait: Duration,
        /// `x-github-request-id`.
        request_id: Option<String>,
    },
    /// Our own budget holds the request; it was not sent.
    #[error("held by our own budget: wait {} ms", wait.as_millis())]
    Held {
        /// Time to make no call of this kind.
        wait: Duration,
    },
    /// 401, or 403 without a limit, for an installation token minted moments ago: not all of GitHub's servers know it
    /// yet. Nothing happened, and the token works soon.
    #[error("GitHub does not know our new token yet ({status}: {message})")]
    TokenTooNew {
        /// 401 or 403.
        status: u16,
        /// GitHub's message.
        message: String,
        /// Time before the next attempt with this token.
        wait: Duration,
    },
    /// 409.
    #[error("conflict: {message}")]
    Conflict {
        /// GitHub says that the object exists already (for a runner: its name is taken).
        already_exists: bool,
        /// GitHub's message.
        message: String,
        /// `x-github-request-id`.
        request_id: Option<String>,
    },
    /// GitHub refused: nothing happened.
    #[error("GitHub refused with {status}: {message}")]
    Refused {
        /// The status: 3xx or 4xx.
        status: u16,
        /// GitHub's message.
        message: String,
        /// `x-github-request-id`.
        request_id: Option<String>,
        /// A repeated call will be refused again.
        permanent: bool,
    },
    /// 401, even with a fresh token.
    #[error("GitHub does not accept our credential: {message}")]
    Unauthorized {
        /// GitHub's message.
        message: String,
        /// `x-github-request-id`.
        request_id: Option<String>,
    },
    /// The installation is suspended.
    #[error("the App's installation is suspended: {message}")]
    Suspended {
        /// GitHub's message.
        message: String,
        /// `x-github-request-id`.
        request_id: Option<String>,
    },
    /// The installation does not grant a permission that every call needs.
    #[error("the App's installation must grant {permissions}: {message}")]
    PermissionMissing {
        /// Missing permissions, as `name: level`.
        permissions: String,
        /// GitHub's message.
        message: String,
    },
    /// The App key, or the installation it should give access to, cannot be used.
    #[error("the credential cannot be used: {reason}")]
    Credential {
        /// Cause.
        reason: String,
    },
    /// A successful status with a body that GitHub does not document.
    #[error("GitHub's response to {operation} cannot be read: {reason}")]
    Malformed {
        /// The operation.
        operation: &'static str,
        /// Place of the error; never the text itself.
        reason: String,
        /// The call only reads, so that no effect can stand.
        read_only: bool,
        /// `x-github-request-id`.
        request_id: Option<String>,
    },
    /// An argument that cannot be sent.
    #[error("this argument cannot be sent: {0}")]
    Argument(&'static str),
}

impl GitHubError {
    /// Returns whether and how to retry.
    pub fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::NotSent { .. }
            | Self::Unclear { read_only: true, .. }
            | Self::Malformed { read_only: true, .. }
            | Self::Refused { permanent: false, .. } => RetryAdvice::Retry,
            Self::Unclear { .. } | Self::Malformed { .. } => RetryAdvice::Unclear,
            Self::Limited { wait, .. } | Self::Held { wait } | Self::TokenTooNew { wait, .. } => {
                RetryAdvice::Wait(*wait)
            }
            Self::Conflict { .. } | Self::Argument(_) | Self::Refused { status: 400 | 422, .. } => {
                RetryAdvice::Permanent
            }
            Self::Refused { .. }
            | Self::Unauthorized { .. }
            | Self::Suspended { .. }
            | Self::PermissionMissing { .. }
            | Self::Credential { .. } => RetryAdvice::NeedsOperator,
        }
    }

    /// Whether GitHub itself (not a proxy) says that the object does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, message, .. } if message == "Not Found")
    }

    /// Returns a `Malformed` error with the id of the request; others unchanged.
    pub(crate) fn with_request_id(mut self, id: Option<String>) -> Self {
        if let Self::Malformed { request_id, .. } = &mut self {
            *request_id = id;
        }
        self
    }

    /// Returns GitHub's id of the refused or lost request, if a response came.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Unclear { request_id, .. }
            | Self::Limited { request_id, .. }
            | Self::Conflict { request_id, .. }
            | Self::Refused { request_id, .. }
            | Self::Unauthorized { request_id, .. }
            | Self::Suspended { request_id, .. }
            | Self::Malformed { request_id, .. } => request_id.as_deref(),
            _ => None,
        }
    }

    /// Returns the time for which GitHub wants no request.
    pub fn requested_wait(&self) -> Option<Duration> {
        match self {
            Self::Unclear { wait, .. } => *wait,
            Self::Limited { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    /// Turns an error of a token request into the error of the call that needed the token: that call was not sent.
    pub(crate) fn before_sending(self) -> Self {
        match self {
            Self::Unclear { reason, .. } | Self::Malformed { reason, .. } => {
                Self::NotSent { reason: format!("no installation token: {reason}") }
            }
            Self::Refused { status: status @ 404, .. } => Self::Credential {
                reason: format!("GitHub knows no such installation of this App ({status})"),
            },
            other => other,
        }
    }
}

impl From<KeyError> for GitHubError {
    fn from(error: KeyError) -> Self {
        Self::Credential { reason: error.to_string() }
    }
}

impl From<NoSegment> for GitHubError {
    fn from(_: NoSegment) -> Self {
        Self::Argument("a name is empty or all dots")
    }
}
