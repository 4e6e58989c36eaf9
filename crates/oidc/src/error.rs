//! Why a token was refused, or the keys of its issuer could not be fetched. Nothing here quotes the token.

use reqwest::StatusCode;

/// A refused token, or one we cannot judge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// Longer than 16 KB.
    #[error("the token is longer than 16 KB")]
    TooLarge,
    /// Not a signed token of the form we take, or a claim that is missing or malformed.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// An algorithm we do not take, `none` and HS* among them.
    #[error("the token's algorithm is not accepted")]
    UnsupportedAlgorithm,
    /// `iss` is none of the trusted issuers.
    #[error("the token's issuer is not trusted here")]
    UnknownIssuer,
    /// `iss` differs from a trusted issuer in a final slash alone.
    #[error(
        "the token's issuer is `{said}`, and the trusted one is `{trusted}`: they differ in the final slash"
    )]
    IssuerSlash {
        /// `iss` of the token.
        said: String,
        /// The issuer as configured.
        trusted: String,
    },
    /// The issuer has no such key.
    #[error("the token's key is not one of its issuer's")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature does not fit")]
    BadSignature,
    /// `aud` names none of our audiences.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Issued too long ago, or to live longer than the settings allow.
    #[error("the token is older, or lives longer, than the {hours} hours its issuer's tokens may")]
    LivesTooLong {
        /// `max_token_age` of the issuer, in hours rounded up.
        hours: u64,
    },
    /// A kind of token that does not count here: a refresh token, or an ID token where only access tokens do.
    #[error("it is {0}, which is not accepted here")]
    WrongKind(&'static str),
    /// The issuer's keys cannot be had; not the caller's fault.
    #[error("the issuer's keys are unavailable")]
    KeysUnavailable,
}

impl OidcError {
    /// A stable word for problems, logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "token_too_large",
            Self::Invalid(_) | Self::UnknownKey | Self::BadSignature => "invalid_token",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnknownIssuer | Self::IssuerSlash { .. } => "unknown_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::LivesTooLong { .. } => "token_lives_too_long",
            Self::WrongKind(_) => "token_of_another_kind",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }

    /// Whether the service, not the caller, is at fault: 503 instead of 401.
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::KeysUnavailable)
    }
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer in time")]
    TimedOut,
    #[error("the request failed")]
    Http(#[source] reqwest::Error),
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("the answer is too large")]
    TooLarge,
    #[error("{0} is malformed")]
    Malformed(&'static str),
    #[error("the discovery document is of the issuer `{said}`, and the configured issuer is `{configured}`")]
    OtherIssuer { said: String, configured: String },
}
