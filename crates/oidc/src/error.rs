//! Errors of token verification and key fetches. Error texts never quote the token.

use reqwest::StatusCode;

/// Reason a token was refused or could not be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// The token is longer than 16 KB.
    #[error("the token is longer than 16 KB")]
    TooLarge,
    /// The token is not a signed token of a supported form, or a claim is missing or malformed.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// The algorithm is not supported; `none` and HS* never are.
    #[error("the token's algorithm is not accepted")]
    UnsupportedAlgorithm,
    /// `iss` is not a trusted issuer.
    #[error("the token's issuer is not trusted here")]
    UnknownIssuer,
    /// `iss` differs from a trusted issuer only in the final slash.
    #[error(
        "the token's issuer is `{said}`, and the trusted one is `{trusted}`: they differ in the final slash"
    )]
    IssuerSlash {
        /// Claim `iss` of the token.
        said: String,
        /// Issuer as configured.
        trusted: String,
    },
    /// The issuer has no key with this `kid`.
    #[error("the token's key is not one of its issuer's")]
    UnknownKey,
    /// The signature is not valid.
    #[error("the token's signature is not valid")]
    BadSignature,
    /// `aud` contains no configured audience.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The token was issued too long ago or is valid for longer than the settings allow.
    #[error("the token is older or valid for longer than the {hours} hours allowed for its issuer")]
    LivesTooLong {
        /// `max_token_age` of the issuer, in hours, rounded up.
        hours: u64,
    },
    /// This kind of token is not accepted: a refresh token, or an ID token if only access tokens are.
    #[error("it is {0}, which is not accepted here")]
    WrongKind(&'static str),
    /// The issuer's keys cannot be fetched; the caller is not at fault.
    #[error("the issuer's keys are unavailable")]
    KeysUnavailable,
}

impl OidcError {
    /// Returns a stable text for problems, logs and metrics.
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

    /// Returns whether the service is at fault, not the caller: 503 instead of 401.
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::KeysUnavailable)
    }
}

/// Reason a request to an issuer failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No response came in time.
    #[error("no response in time")]
    TimedOut,
    /// The request failed.
    #[error("the request failed")]
    Http(#[source] reqwest::Error),
    /// The response had another status than 200.
    #[error("the response status was {0}")]
    Status(StatusCode),
    /// The response is larger than allowed.
    #[error("the response is too large")]
    TooLarge,
    /// The response is not what the protocol asks for.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The discovery document is of another issuer.
    #[error("the discovery document is of the issuer `{said}`, and the configured issuer is `{configured}`")]
    OtherIssuer {
        /// Issuer of the document.
        said: String,
        /// Issuer as configured.
        configured: String,
    },
}
