//! What can go wrong, and whether waiting would help.

use std::time::Duration;

use crate::{key_error::KeyError, path::NoSegment};

/// Which of GitHub's limits was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// The hourly window of requests.
    Primary,
    /// The limits on bursts, whose state cannot be queried.
    Secondary,
    /// No limit: `Retry-After` on an answer of another status.
    Outage,
}

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAdvice {
    /// Nothing happened on GitHub: try again, with growing gaps.
    Retry,
    /// Make no call with this credential before the time has passed.
    Wait(Duration),
    /// It may have happened: look before doing it again.
    Unclear,
    /// This very call will never work.
    Permanent,
    /// Nothing will work until a human changes something: alert, do not retry.
    NeedsOperator,
}

/// Why a call gave no answer to build on.
///
/// Messages are GitHub's own, shortened; they never hold tokens or bodies.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitHubError {
    /// The request never left this machine: name look-up, connection or TLS failed, or no token could be had.
    #[error("the request was not sent: {reason}")]
    NotSent {
        /// What failed.
        reason: String,
    },
    /// The answer was lost, or GitHub answered 408 or 5xx: the effect may stand.
    #[error("no clear answer from GitHub: {reason}")]
    Unclear {
        /// What happened.
        reason: String,
        /// The status, if one came.
        status: Option<u16>,
        /// The call only reads, so that no effect can stand.
        read_only: bool,
        /// `Retry-After` of the answer.
        wait: Option<Duration>,
    },
    /// 403 or 429 under one of GitHub's limits.
    #[error("GitHub's {kind:?} rate limit: wait {} s", wait.as_secs())]
    Limited {
        /// Which limit.
        kind: LimitKind,
        /// How long to make no call.
        wait: Duration,
    },
    /// Our own budget has no room for it now; it was not sent.
    #[error("held back by our own budget: wait {} ms", wait.as_millis())]
    Held {
        /// How long to make no call of this kind.
        wait: Duration,
    },
    /// 401, or 403 without a limit, for an installation token minted moments ago: GitHub's copies do not all know it yet.
    /// Nothing happened, and the same token works soon.
    #[error("GitHub does not know our new token yet ({status}: {message})")]
    TokenTooNew {
        /// 401 or 403.
        status: u16,
        /// GitHub's message.
        message: String,
        /// When to try the same token again.
        wait: Duration,
    },
    /// 409.
    #[error("conflict: {message}")]
    Conflict {
        /// GitHub says the thing exists already (for a runner: its name is taken).
        already_exists: bool,
        /// GitHub's message.
        message: String,
        /// `x-github-request-id`.
        request_id: Option<String>,
    },
    /// A definite no: nothing happened.
    #[error("GitHub refused with {status}: {message}")]
    Refused {
        /// The status: 3xx or 4xx.
        status: u16,
        /// GitHub's message.
        message: String,
        /// `x-github-request-id`.
        request_id: Option<String>,
        /// The same call will be refused again.
        permanent: bool,
    },
    /// 401, also with a fresh token.
    #[error("GitHub does not accept our credential: {message}")]
    Unauthorized {
        /// GitHub's message.
        message: String,
    },
    /// The installation is suspended.
    #[error("the App's installation is suspended: {message}")]
    Suspended {
        /// GitHub's message.
        message: String,
    },
    /// The installation does not grant a permission that every call needs.
    #[error("the App's installation must grant {permissions}: {message}")]
    PermissionMissing {
        /// What it must grant, as `name: level`.
        permissions: String,
        /// GitHub's message.
        message: String,
    },
    /// The App key, or the installation it should open, is not usable.
    #[error("the credential cannot be used: {reason}")]
    Credential {
        /// What is wrong with it.
        reason: String,
    },
    /// A good status with an answer that is not what GitHub documents.
    #[error("GitHub's answer to {operation} cannot be read: {reason}")]
    Malformed {
        /// The operation.
        operation: &'static str,
        /// Where it fails to fit; never the text itself.
        reason: String,
        /// The call only reads, so that no effect can stand.
        read_only: bool,
    },
    /// An argument that cannot be sent.
    #[error("this argument cannot be sent: {0}")]
    Argument(&'static str),
}

impl GitHubError {
    /// Whether, and how, trying again makes sense.
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

    /// GitHub itself says that the thing does not exist (and not a proxy on the way).
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, message, .. } if message == "Not Found")
    }

    /// How long GitHub wants no request, whatever else it said.
    pub fn requested_wait(&self) -> Option<Duration> {
        match self {
            Self::Unclear { wait, .. } => *wait,
            Self::Limited { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    /// The same trouble seen by a call that still waited for its token: it was not sent.
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
