//! Errors of calls to Redis.

/// A failed call. Its effect is unknown; every script may be called again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The address cannot be parsed. It is not repeated here: it may hold a password.
    #[error("the address of the queue is not a Redis URL")]
    BadUrl,
    /// The namespace is not 1 to 64 characters of `a-z`, `0-9`, `-`, `_`.
    #[error("a queue namespace is 1 to 64 characters of a-z, 0-9, - and _")]
    BadNamespace,
    /// The name of an endpoint, a resource or a shared value has a wrong length or character.
    #[error("a name must have {0}")]
    BadName(&'static str),
    /// A shared value is too large.
    #[error("a shared value is at most 16 KiB")]
    TooLarge,
    /// Redis returned an error, or the connection broke.
    #[error("the Redis call failed")]
    Redis(#[from] redis::RedisError),
    /// No server that accepts writes is known; a background task searches for one.
    #[error("no Redis server accepts writes at the moment")]
    Away,
    /// The server's TLS failed; the text says why.
    #[error("no Redis server can be used: {0}")]
    Tls(&'static str),
    /// No response within the call's time limit.
    #[error("Redis did not respond in time")]
    Timeout,
    /// Redis holds a value that this version cannot read.
    #[error("Redis returned a value that cannot be read: {0}")]
    Unexpected(&'static str),
}

impl QueueError {
    /// Whether the call may succeed later without a change of settings.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Redis(_) | Self::Away | Self::Tls(_) | Self::Timeout)
    }
}
